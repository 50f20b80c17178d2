"""Faults of containerd's configuration and of how it injects."""

from __future__ import annotations

from talos_gpu.doctor.bundle import host
from tests.doctor.bundles import PART, PART_TEXT, Box
from tests.doctor.fault import (
    BLINDED,
    NO_RUNTIME,
    UNRESOLVABLE,
    create_fails,
    fault,
)

# containerd


@fault("no containerd part", "part-missing")
def _no_part(box: Box) -> None:
    box.file(PART, None)
    create_fails(box, NO_RUNTIME)


@fault("a containerd part that is no TOML", "part-invalid")
def _toml(box: Box) -> None:
    box.file(PART, PART_TEXT.replace("]\n", "\n", 1))
    create_fails(box, NO_RUNTIME)


@fault("the section of containerd 1.7 on 2.x", "part-wrong-section")
def _section(box: Box) -> None:
    box.file(PART, PART_TEXT.replace("io.containerd.cri.v1.runtime", "io.containerd.grpc.v1.cri"))
    box.texts[host("/etc/cri/conf.d/cri.toml")] = "version = 3\n"
    create_fails(box, NO_RUNTIME)


@fault("a part that waits for the boot", "part-not-merged")
def _merged(box: Box) -> None:
    box.texts[host("/etc/cri/conf.d/cri.toml")] = 'version = 3\n[plugins."io.containerd.cri.v1.runtime"]\n'
    create_fails(box, NO_RUNTIME)


@fault("a second part with the same runtime", "part-duplicated")
def _twice(box: Box) -> None:
    box.file("/etc/cri/conf.d/30-gpu.part", PART_TEXT.replace('  cdi_spec_dirs = ["/etc/cdi", "/var/run/cdi"]\n', ""))


@fault("CDI switched off in containerd", "cdi-disabled")
def _off(box: Box) -> None:
    box.edit(PART, "  cdi_spec_dirs", "  enable_cdi = false\n  cdi_spec_dirs")
    create_fails(box, UNRESOLVABLE)


@fault("a runtime that runs a binary which is not there", "runtime-binary-missing")
def _binary(box: Box) -> None:
    box.edit(PART, "nvidia-container-runtime.cdi", "nvidia-container-runtime.cdi.real")
    create_fails(box, "exec: /usr/local/bin/nvidia-container-runtime.cdi.real: no such file or directory")


@fault("the seed's default runtime left in the part", "default-runtime")
def _default(box: Box) -> None:
    box.texts[host(PART)] += (
        '  [plugins."io.containerd.cri.v1.runtime".containerd]\n    default_runtime_name = "nvidia-cdi"\n'
    )


# injection


@fault("legacy injection under Talos's hardening", "legacy-blinded")
def _legacy(box: Box) -> None:
    box.meta.update(method="sysctl", handler="nvidia", runtime_class="nvidia")
    box.items("runtimeclasses")[0].update(metadata={"name": "nvidia"}, handler="nvidia")
    box.worker["spec"]["runtimeClassName"] = "nvidia"
    box.items("daemonsets").clear()
    create_fails(box, BLINDED)


@fault("legacy injection by the default runtime, under Talos's hardening", "legacy-blinded")
def _legacy_by_default(box: Box) -> None:
    box.meta.update(runtime="default", handler="nvidia", runtime_class=None)
    box.texts[host(PART)] += (
        '  [plugins."io.containerd.cri.v1.runtime".containerd]\n    default_runtime_name = "nvidia"\n'
    )
    del box.worker["spec"]["runtimeClassName"]
    create_fails(box, BLINDED)


@fault("method jit with the plain env", "env-for-other-method")
def _jit(box: Box) -> None:
    box.meta.update(method="jit", handler="nvidia", runtime_class="nvidia")
    box.items("runtimeclasses")[0].update(metadata={"name": "nvidia"}, handler="nvidia")
    box.worker["spec"]["runtimeClassName"] = "nvidia"
    create_fails(box, BLINDED)
