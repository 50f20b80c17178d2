"""Faults of the node: its specs, its containerd configuration, its devices."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from tests.lab import broken_node as node
from tests.lab.broken_node import INSTALLED, MERGED, PART, SOURCE, UDEV
from tests.lab.conftest import MainJob
from tests.lab.live_fault import Faults

FIXTURES = Path(__file__).parents[1] / "fixtures" / "cdi"
RUNTIME_SECTION = '[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.nvidia-cdi]'

FAULTS = Faults()

# specs

FAULTS.made("the generated spec was deleted", "spec-source-missing", lambda job: node.holds(job, SOURCE, None))
FAULTS.made("the installed spec was deleted", "spec-missing", lambda job: node.installed(job, lambda _: None))
FAULTS.made(
    "an unknown field in the installed spec",
    "spec-invalid",
    lambda job: node.installed(job, lambda text: "foo: bar\n" + text),
)
FAULTS.made(
    "an installed spec cut off in the middle",
    "spec-invalid",
    lambda job: node.installed(job, lambda text: text[: len(text) // 2] + '\n  "'),
)
FAULTS.made(
    "the same devices in a second file of the folder",
    "spec-conflict",
    lambda job: node.holds(job, "/run/cdi/other.yaml", job.inside(INSTALLED).read_text()),
)
FAULTS.made(
    "hooks run by the wrapper: the spec installed without the patch",
    "spec-unpatched",
    lambda job: node.installed(job, lambda _: job.inside(SOURCE).read_text()),
)

FAULTS.made(
    "a second run of the seed's sed: .real.real",
    "hook-missing",
    lambda job: node.installed(job, lambda text: text.replace("hook.real", "hook.real.real")),
)
FAULTS.made(
    "a spec of another driver version",
    "spec-stale",
    lambda job: node.installed(job, lambda text: text.replace("535.247.01", "535.230.02")),
)
FAULTS.made(
    "a spec that mounts a library which the node does not have",
    "spec-paths-missing",
    lambda job: node.installed(job, lambda text: text.replace("libnvidia-encode.so", "libnvidia-encoder.so")),
)
FAULTS.made(
    "the installed spec was edited",
    "spec-edited",
    lambda job: node.installed(job, lambda text: text + "# by hand\n"),
)


@FAULTS.fault("a spec made by toolkit 1.18 for hooks of 1.17.8", "spec-newer-than-hook")
@contextmanager
def _newer(job: MainJob) -> Iterator[None]:
    theirs = yaml.safe_load((FIXTURES / "p2000-535" / "toolkit-1.18.2.yaml").read_text())

    def change(text: str) -> str:
        spec = yaml.safe_load(text)
        spec["containerEdits"]["hooks"] = [
            {**hook, "path": "/usr/local/bin/nvidia-cdi-hook.real"} for hook in theirs["containerEdits"]["hooks"]
        ]
        return yaml.safe_dump(spec)

    with node.installed(job, change):
        yield


@FAULTS.fault("a spec of toolkit 1.19 with nvidia-uvm's major of another boot", "uvm-major-moved")
@contextmanager
def _major(job: MainJob) -> Iterator[None]:
    def change(text: str) -> str:
        spec = yaml.safe_load(text)
        for one in spec["containerEdits"]["deviceNodes"]:
            if one["path"] == "/dev/nvidia-uvm":
                one.update(type="c", major=238, minor=0)
        return yaml.safe_dump(spec)

    with node.installed(job, change):
        yield


@FAULTS.fault("a spec under a name that is not read", "spec-name-ignored")
@contextmanager
def _yml(job: MainJob) -> Iterator[None]:
    text = job.inside(INSTALLED).read_text()
    with node.installed(job, lambda _: None), node.holds(job, "/run/cdi/nvidia.yml", text):
        yield


# containerd

DIRS = '["/etc/cdi", "/var/run/cdi"]'
FAULTS.made(
    "the seed's order of folders",
    "spec-dirs-order",
    lambda job: node.part_says(job, DIRS, '["/etc/cdi", "/var/run/cdi", "/var/cdi"]'),
)
FAULTS.made(
    "the installed spec's folder is not read",
    "spec-folder-unread",
    lambda job: node.part_says(job, DIRS, '["/etc/cdi"]'),
)
FAULTS.made(
    "CDI switched off in containerd",
    "cdi-disabled",
    lambda job: node.part_says(job, "cdi_spec_dirs", "enable_cdi = false\ncdi_spec_dirs"),
)
FAULTS.made(
    "a runtime whose binary is not there",
    "runtime-binary-missing",
    lambda job: node.part_says(job, 'runtime.cdi"', 'runtime.cdi.real.real"'),
)
FAULTS.made("a part that is no TOML", "part-invalid", lambda job: node.edited(job, PART, "]\n", "\n"))
FAULTS.made(
    "a second part with the same runtime",
    "part-duplicated",
    lambda job: node.holds(
        job, f"{node.PARTS}/30-gpu.part", job.inside(PART).read_text().replace(f"cdi_spec_dirs = {DIRS}", "")
    ),
)


def _without_runtime(job: MainJob) -> str:
    """containerd's configuration as Talos merges it without the stack's part."""
    text = job.inside(MERGED).read_text()
    return text[: text.index(RUNTIME_SECTION.replace('"', "'"))].replace(
        f"cdi_spec_dirs = {DIRS}".replace('"', "'"), ""
    )


FAULTS.made(
    "a part that waits for the boot", "part-not-merged", lambda job: node.holds(job, MERGED, _without_runtime(job))
)


@FAULTS.fault("no containerd part", "part-missing")
@contextmanager
def _no_part(job: MainJob) -> Iterator[None]:
    with node.holds(job, MERGED, _without_runtime(job)), node.holds(job, PART, None):
        yield


@FAULTS.fault("the section of containerd 1.7 on 2.x", "part-wrong-section")
@contextmanager
def _section(job: MainJob) -> Iterator[None]:
    right, wrong = "io.containerd.cri.v1.runtime", "io.containerd.grpc.v1.cri"
    part = job.inside(PART).read_text().replace(right, wrong)
    merged = _without_runtime(job) + "\n" + part
    with node.holds(job, PART, part), node.holds(job, MERGED, merged):
        yield


@FAULTS.fault("an unpatched spec in a folder of higher priority", "spec-shadowed")
@contextmanager
def _shadowed(job: MainJob) -> Iterator[None]:
    text = job.inside(SOURCE).read_text()
    above = node.part_says(job, DIRS, '["/var/run/cdi", "/var/lib/cdi"]')
    with above, node.holds(job, "/var/lib/cdi/nvidia.yaml", text):
        yield


@FAULTS.fault("the seed's default runtime in the part", "default-runtime")
@contextmanager
def _default(job: MainJob) -> Iterator[None]:
    section = '[plugins."io.containerd.cri.v1.runtime".containerd]\n'
    default = f'{section}default_runtime_name = "nvidia-cdi"\n'
    part = node.edited(job, PART, RUNTIME_SECTION, default + RUNTIME_SECTION)
    with part, node.edited(job, MERGED, section.replace('"', "'"), default.replace('"', "'")):
        yield


# the node

FAULTS.made("a device node is not there", "device-node-missing", lambda job: node.device(job, "nvidia0"))


@contextmanager
def _only_root(job: MainJob) -> Iterator[None]:
    path = job.inside("/dev/nvidiactl")
    path.chmod(0o660)
    try:
        yield
    finally:
        path.chmod(0o666)


FAULTS.made("a device node that only root may open", "device-permissions", _only_root)


@FAULTS.fault("a udev rule takes a device node's permissions away", "udev-rule-takes-access")
@contextmanager
def _udev(job: MainJob) -> Iterator[None]:
    """The rule where Talos writes it at boot; what udev makes of it is done by hand, for the lab runs none."""
    with node.appended(job, UDEV, 'KERNEL=="nvidiactl", GROUP="44", MODE="0660"\n'), _only_root(job):
        yield


FAULTS.made(
    "the seed's udev rules, for names that no device node has",
    "udev-rule-matches-nothing",
    lambda job: node.appended(job, UDEV, 'KERNEL=="nvidia", MODE="0666"\nKERNEL=="nvidia_uvm", MODE="0666"\n'),
)
FAULTS.made(
    "a driver of another version than the toolkit's libraries is loaded",
    "driver-apart",
    lambda job: node.edited(job, "/proc/driver/nvidia/version", "535.247.01", "535.288.01"),
)
