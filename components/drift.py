"""What moved behind a CDI resource's back, in the form in which a preview shows it: pure.

A dynamic provider can send no detailed diff. Drift therefore becomes an input of the refreshed state that the program
does not give: the engine itself then finds it gone in the next preview, and shows the name of the cause in the summary
(`[diff: -drift_edited]`), each line of it under --diff, and both in --json (detailedDiff, oldState.inputs).
"""

from __future__ import annotations

import hashlib
import textwrap
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from talos_gpu import cdi

Drift = dict[str, list[str]]
"""Cause -> what is to be said, a line each; empty: nothing moved."""
_ARROW, _HELD = " -> ", "\N{NO-BREAK SPACE}->\N{NO-BREAK SPACE}"
MOST_LINES = 20
LONGEST = 140
"""Characters of a line: `pulumi preview --diff` cuts texts at 150."""


class Cause(StrEnum):
    """Why a resource is to be updated; the value is the name of the input that shows it."""

    REMOVED = "drift_removed"
    """The generated or the installed spec is not there."""
    REGENERATED = "drift_regenerated"
    """The generated spec is another one than the one that was patched, for the same driver."""
    DRIVER = "drift_driver"
    """The driver, or the driver that the generated spec is for, is another one."""
    EDITED = "drift_edited"
    """The installed spec is not what the installer put there."""
    UNFIT = "drift_unfit"
    """The generated spec cannot be used on this node, or does not name its GPUs."""
    HOOK = "drift_hook"
    """Another hook binary than the one that the spec was patched for lies on the node."""
    TOOLKIT = "drift_toolkit"
    """The NVIDIA container toolkit is another one."""
    TALOS = "drift_talos"
    """The node runs another Talos."""
    KERNEL = "drift_kernel"
    """The node runs another kernel."""
    MODULES = "drift_modules"
    """A kernel module is not loaded."""
    SYSCTLS = "drift_sysctls"
    """A sysctl has another value."""
    PART = "drift_part"
    """The containerd part is not there, or another one."""
    UDEV = "drift_udev"
    """A udev rule is not there."""
    LABEL = "drift_label"
    """The node's object has not the label."""


def sentences(drift: Drift) -> list[str]:
    """Everything that is said, each once."""
    return list(dict.fromkeys(line for lines in drift.values() for line in lines))


def changes(recorded: str, now: bytes) -> list[str]:
    """The semantic diff of two specs in lines, or the faults of one that is not valid; MOST_LINES, the rest counted."""
    try:
        lines = cdi.render(cdi.diff(recorded, cdi.decode(now).text, library=cdi.Library.V1_0_1)).splitlines()
    except cdi.CdiError as error:
        lines = error.message.splitlines()
    return told(lines or ["the same for containers: nothing but its layout differs"], "talos-gpu cdi diff")


def told(lines: list[str], command: str = "talos-gpu cdi validate --from-node") -> list[str]:
    """MOST_LINES of the lines, none longer than a preview shows; the rest counted, with the command that shows it."""
    shown = lines[:MOST_LINES]
    if len(lines) > MOST_LINES:
        shown.append(f"and {len(lines) - MOST_LINES} more: {command}")
    return [part for line in shown for part in _wrapped(line)]


def _wrapped(line: str) -> list[str]:
    whole = line.replace(_ARROW, _HELD)  # what is before and behind an arrow stays on one line
    parts = textwrap.wrap(whole, LONGEST, subsequent_indent="    ", break_on_hyphens=False)
    return [part.replace(_HELD, _ARROW) for part in parts]


def source_drift(props: Mapping[str, Any], path: str, now: cdi.Patched) -> Drift:
    """How the generated spec differs from the one whose patch the outputs `props` recorded."""
    if now.source_sha256 == props["source_sha256"]:
        return {}
    same_driver = (cdi.facts(now.source).driver_version or "") == props["driver_version"]
    head = f"{path} is another one than the one installed:"
    return {
        Cause.REGENERATED if same_driver else Cause.DRIVER: [head, *changes(props["text"], now.text.encode())],
    }


def installed_drift(recorded: str, path: str, installed: bytes | None) -> Drift:
    """How the installed spec differs from the recorded one."""
    if installed is None:
        return {Cause.REMOVED: [f"{path} is not there: the installer has not put it there, or has withdrawn it"]}
    found = digest(installed)
    if found == digest(recorded.encode()):
        return {}
    head = f"{path} is not the spec that was installed: it was edited (sha256 {found[:8]})"
    return {Cause.EDITED: [head, *changes(recorded, installed)]}


def digest(data: bytes) -> str:
    """SHA-256 in hex."""
    return hashlib.sha256(data).hexdigest()
