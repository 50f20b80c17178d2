"""Settings that are right each by itself and wrong together."""

from __future__ import annotations

from collections.abc import Iterator

from talos_gpu.cdi import Strategy
from talos_gpu.settings.cdi import Cdi
from talos_gpu.settings.faults import Fault, shown
from talos_gpu.settings.machine import Node
from talos_gpu.settings.tdarr import Tdarr
from talos_gpu.talos.errors import MethodUnfit, UnknownRelease
from talos_gpu.talos.releases import Method, ReleaseFacts, strategy_for


def combinations(node: Node | None, cdi: Cdi | None, tdarr: Tdarr | None, *, unproven: bool = False) -> Iterator[Fault]:
    """The faults between those parts of the settings that are right by themselves (None: it is not).

    `unproven`: verification is wanted where there is no worker to verify in.
    """
    if unproven:
        yield Fault(
            "verify",
            "true",
            "needs a worker to prove the GPU in, and there is no tdarr",
            "add tdarr, or take verify out",
        )
    release = None
    if node is not None:
        try:
            release = strategy_for(node.release)
        except UnknownRelease as error:
            key = "treat_as" if node.treat_as else "talos"
            yield Fault(f"node.{key}", shown(node.release), f"cannot be handled: {error.message}", error.remedy)
    if cdi is not None:
        yield from _cdi(cdi, release)
    if tdarr is not None:
        yield from _volumes(tdarr)


def _cdi(cdi: Cdi, release: ReleaseFacts | None) -> Iterator[Fault]:
    if release is not None:
        try:
            release.require(Method(cdi.method))
        except MethodUnfit as error:
            yield Fault("cdi.method", shown(cdi.method), f"does not fit: {error.message}", error.remedy)
    if cdi.method != "spec":
        only_spec = {"hook": "auto", "regenerate": "never", "runtime": "runtime-class", "generator_flags": ()}
        for key, default in only_spec.items():
            value = getattr(cdi, key)
            if value != default:
                rule = f"has no meaning with method {cdi.method}: only method spec has it"
                yield Fault(f"cdi.{key}", shown(value), rule, f"take cdi.{key} out")
    elif release is not None and cdi.hook == "real" and release.hook is not Strategy.REAL:
        rule = f"does not fit Talos {release.minor}: its extension has no nvidia-cdi-hook.real"
        yield Fault("cdi.hook", shown(cdi.hook), rule, "take cdi.hook out")


def _volumes(tdarr: Tdarr) -> Iterator[Fault]:
    for key in ("name", "path"):
        seen: set[str] = set()
        for index, volume in enumerate(tdarr.volumes):
            value = getattr(volume, key)
            if value in seen:
                yield Fault(f"tdarr.volumes[{index}].{key}", shown(value), "is there twice", "give each its own")
            seen.add(value)
    namespace = tdarr.namespace
    for index, volume in enumerate(tdarr.volumes):
        if volume.host_path is not None and namespace.pod_security != "privileged":
            level = namespace.pod_security or "baseline, the default"
            rule = f"is a hostPath, which PodSecurity level {level} of namespace {namespace.name} refuses"
            remedy = "use pvc, nfs or empty_dir, or say tdarr.namespace.pod_security: privileged where that is so"
            yield Fault(f"tdarr.volumes[{index}].host_path", shown(volume.host_path.path), rule, remedy)
