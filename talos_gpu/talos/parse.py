"""What stands in the node's files and resource versions; pure, each with the text's form in its docstring."""

from __future__ import annotations

import re
from collections.abc import Mapping

_DRIVER = re.compile(r"^NVRM version:.*?\s(\d+\.\d+(?:\.\d+)?)\s", re.MULTILINE)
_KERNEL = re.compile(r"^Linux version (\S+)")
_MAJOR = re.compile(r"^\s*(\d+) (\S+)$", re.MULTILINE)


def driver_version(text: str) -> str | None:
    """Return the driver's version from /proc/driver/nvidia/version.

    `NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.247.01  Tue ...`, or of the open modules
    `NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.126.09  Release Build ...`.
    """
    match = _DRIVER.search(text)
    return match[1] if match else None


def kernel_release(text: str) -> str | None:
    """Return the release from /proc/version: `Linux version 6.12.45-talos (...) ...`."""
    match = _KERNEL.match(text)
    return match[1] if match else None


def char_majors(text: str) -> dict[str, int]:
    """Return major numbers by name from /proc/devices' first section; the block devices after it do not count."""
    characters = text.partition("Block devices:")[0]
    return {name: int(major) for major, name in _MAJOR.findall(characters)}


def toolkit_version(extensions: Mapping[str, str]) -> str | None:
    """Return the NVIDIA container toolkit's version from its extension's, `535.247.01-v1.17.8`."""
    for name, version in extensions.items():
        if name.startswith("nvidia-container-toolkit"):
            return version.rpartition("-")[2].removeprefix("v")
    return None


def module_driver_version(extensions: Mapping[str, str]) -> str | None:
    """Return the driver's version from the kernel module extension's, `535.247.01-v1.11.1`."""
    for name, version in extensions.items():
        if name.startswith(("nonfree-kmod-nvidia", "nvidia-open-gpu-kernel-modules")):
            return version.partition("-")[0]
    return None


def modules_kernel(extensions: Mapping[str, str]) -> str | None:
    """Return the kernel's release: Talos lists the modules' index as an extension `modules.dep` of that version."""
    return extensions.get("modules.dep")
