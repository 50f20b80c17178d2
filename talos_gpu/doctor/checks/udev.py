"""udev rules on the node: those that take permissions away, those that match no device node."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase

from talos_gpu.doctor.bundle import host
from talos_gpu.doctor.checks.node import NEEDED_NODES
from talos_gpu.doctor.errors import Unread
from talos_gpu.doctor.finding import Check, Severity
from talos_gpu.doctor.view import View
from talos_gpu.talos.udev import RULES_FILES, UdevRule

DEVICE_NODES = (
    *NEEDED_NODES,
    "nvidia-uvm-tools",
    "nvidia-modeset",
    "nvidia-caps",
    "nvidia-nvswitchctl",
    "nvidia-vgpu1",
)
"""What NVIDIA's device nodes are called (nvidia-modprobe); `nvidia0` stands for all cards."""
_ACCESS = ("MODE", "GROUP", "OWNER")
_NO_DEVICE_NODES = ("module", "drivers", "pci")
"""Subsystems whose events have no device node."""
_ALL = 0o666


def _rules(view: View) -> Iterator[tuple[str, str, UdevRule]]:
    """(path, text, rule) of Talos's own files; raises Unread where none was looked for."""
    texts, unread = view.bundle.texts, view.bundle.unread
    found = {path: texts[host(path)] for path in RULES_FILES if host(path) in texts}
    if not found and not any(unread.get(host(path)) == "" for path in RULES_FILES):
        raise Unread(host(RULES_FILES[0]), unread.get(host(RULES_FILES[0]), "it is not in the bundle"))
    for path, text in found.items():
        for line in text.replace("\\\n", " ").splitlines():
            if line.strip() and not line.lstrip().startswith("#"):
                yield path, line.strip(), UdevRule.parse(line)


def _kernel(rule: UdevRule) -> list[str]:
    """The patterns of names that a rule is for; none where it is for any name."""
    values = [value for key, op, value in rule.matches if (key, op) == ("KERNEL", "==")]
    return [pattern for value in values for pattern in value.strip('"').split("|")]


def _takes(view: View) -> Iterator[str]:
    modes = view.entries("/dev") or {}
    for path, text, rule in _rules(view):
        said = [value.strip('"') for key, _, value in rule.sets if key == "MODE"]
        if not said or not said[-1].isdecimal() or int(said[-1], 8) & _ALL == _ALL:
            continue
        for name in NEEDED_NODES:
            mode = modes.get(name)
            if mode == int(said[-1], 8) and any(fnmatchcase(name, pattern) for pattern in _kernel(rule)):
                yield f"{path} has {text}, and /dev/{name} has mode {mode:04o}"


def _inert(view: View) -> Iterator[str]:
    for path, text, rule in _rules(view):
        patterns = _kernel(rule)
        elsewhere = any(key == "SUBSYSTEM" and value.strip('"') in _NO_DEVICE_NODES for key, _, value in rule.matches)
        if elsewhere or not patterns or not all(pattern.startswith("nvidia") for pattern in patterns):
            continue
        if not any(fnmatchcase(name, pattern) for name in DEVICE_NODES for pattern in patterns) and any(
            key in _ACCESS for key, _, _ in rule.sets
        ):
            yield f"{path} has {text}; NVIDIA's device nodes are {', '.join(DEVICE_NODES[:4])}, ..."


CHECKS = (
    Check(
        "udev-rule-takes-access",
        Severity.WARNING,
        "A udev rule gives an NVIDIA device node a mode with which programs that are not root cannot open it.",
        "take the rule out of machine.udev.rules (UdevRulesConfig from Talos 1.14), then pulumi up; nvidia-modprobe "
        "makes the nodes with 0666",
        "siderolabs/extensions, 15-nvidia-device.rules",
        _takes,
        ("device-permissions", "worker-not-ready"),
    ),
    Check(
        "udev-rule-matches-nothing",
        Severity.NOTE,
        "A udev rule for NVIDIA's device nodes matches none of their names, so it does nothing: the kernel module is "
        "nvidia_uvm, its node nvidia-uvm.",
        "take it out of machine.udev.rules: nvidia-modprobe makes the nodes with 0666, and udev makes none of them",
        "the original write-up, step 1; siderolabs/extensions, 15-nvidia-device.rules",
        _inert,
    ),
)
