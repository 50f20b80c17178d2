"""A fault made in a healthy node's bundle, with what else it brings about, and the roots that must be found for it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from talos_gpu.doctor.bundle import Bundle, host
from tests.doctor.bundles import INSTALLED, SET, Box, Break, broken

UNRESOLVABLE = (
    "Error: failed to create containerd task: failed to create shim task: OCI runtime create failed: failed to "
    "inject CDI "
    "devices: unresolvable CDI devices nvidia.com/gpu=all"
)
WRAPPER = (
    "Error: failed to create containerd task: OCI runtime create failed: error running createContainer hook #0: exit "
    "status "
    "1, stdout: , stderr: 2026/11/24 01:59:00 nvidia-container-runtime-wrapper: unknown command nvidia-cdi-hook"
)
BLINDED = (
    "nvidia-container-cli: mount error: failed to add device rules: unable to generate new device filter program from "
    "existing programs: unable to create new device filters program: load program: invalid argument: last insn is "
    "not an "
    "exit or jmp\nprocessed 0 insns (limit 1000000)"
)
MOUNT = (
    "failed to fulfil mount request: open "
    "/usr/local/glibc/usr/lib/libEGL_nvidia.so.535.247.01: no such file or directory"
)
NO_TOPIC = (
    "error running createContainer hook #4: exit status 3, stderr: No help topic for 'disable-device-node-modification'"
)
NO_RUNTIME = 'failed to get sandbox runtime: no runtime for "nvidia-cdi" is configured'


@dataclass(frozen=True)
class Fault:
    """A fault, how it is made, and the roots that must be found for it, exactly."""

    name: str
    make: Break
    roots: frozenset[str]

    def bundle(self) -> Bundle:
        return broken(self.make)


FAULTS: list[Fault] = []


def fault(name: str, *roots: str) -> Callable[[Break], Break]:
    def register(make: Break) -> Break:
        FAULTS.append(Fault(name, make, frozenset(roots)))
        return make

    return register


def create_fails(box: Box, message: str) -> None:
    box.waits(box.worker, "CreateContainerError", message)


def installer_says(box: Box, words: str) -> None:
    box.not_ready(box.installer)
    box.texts[f"cluster/logs/kube-system_{SET}-x.txt"] = words + "\n"


def respec(box: Box, text: str) -> None:
    """Another spec is installed, and the worker was made with it."""
    box.file(INSTALLED, text)
    digest = hashlib.sha256(text.encode()).hexdigest()
    box.worker["metadata"]["annotations"]["talos-nvidia-cdi/spec-sha256"] = digest


def without_modules(box: Box) -> None:
    box.texts["talos/modules.txt"] = "virtio_net"
    box.texts[host("/proc/devices")] = "Character devices:\n  1 mem\n\nBlock devices:\n"
    del box.texts[host("/proc/driver/nvidia/version")]
    box.unread[host("/proc/driver/nvidia/version")] = ""
    box.drop("/dev", "nvidia0", "nvidiactl", "nvidia-uvm", "nvidia-uvm-tools")


def withdrawn(box: Box, why: str) -> None:
    """The installer has taken the spec away."""
    box.file(INSTALLED, None)
    installer_says(box, why)
    create_fails(box, UNRESOLVABLE)
