"""Whether going from one machine config to another restarts the node, told without the node.

Up to 1.13 apply in mode auto restarts a node when the v1alpha1 document changes outside of the fields below; documents
of other kinds are always taken by the running machine (siderolabs/talos CanApplyImmediate, internal/app/machined/pkg/
runtime/v1alpha1/v1alpha1_runtime.go, the same list from 1.10 to 1.13; older releases have fewer fields, and those that
they have in the same list). From 1.14 on apply restarts nothing (995bc30d5): what is only read at boot then waits for a
restart that somebody asks for; the containerd part and udev rules no longer are (not proven).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import yaml

from talos_gpu.talos.part import PART_PATH
from talos_gpu.talos.releases import ReleaseFacts
from talos_gpu.talos.yaml_nodes import NULL, comparable_key, documents, written_out

LIVE: Mapping[str, frozenset[str]] = {
    "": frozenset(("debug", "cluster")),
    "machine": frozenset(
        (
            "acceptedCAs",
            "ca",
            "certSANs",
            "controlPlane",
            "install",
            "kernel",
            "kubelet",
            "logging",
            "network",
            "nodeAnnotations",
            "nodeLabels",
            "nodeTaints",
            "pods",
            "registries",
            "seccompProfiles",
            "sysctls",
            "sysfs",
            "time",
        )
    ),
    "machine.features": frozenset(
        ("hostDNS", "imageCache", "kubePrism", "kubernetesTalosAPIAccess", "nodeAddressSortAlgorithm")
    ),
}
"""Fields of the v1alpha1 document that a running machine takes, by where they stand."""

_OCTAL = re.compile(r"0o?([0-7]+)")
_WHY = {
    "machine.files": "files are written at boot",
    "machine.udev": "udev rules are read at boot",
}
_OTHERWISE = "Talos does not change it on a running machine"


class By(StrEnum):
    """Who restarts the node."""

    APPLY = "apply"
    """Talos, when the config is applied in mode auto."""
    REQUEST = "request"
    """Nobody, unless a restart is asked for."""


@dataclass(frozen=True, slots=True)
class RebootReason:
    """One change that a running machine does not take."""

    key: str
    """`machine.files: /etc/cri/conf.d/20-customization.part`, `machine.udev`, `machine.env`."""
    why: str
    by: By

    @property
    def sentence(self) -> str:
        """For a preview."""
        return f"{self.key} ({self.why})"


def reboot_reasons(old: str, new: str, release: ReleaseFacts) -> tuple[RebootReason, ...]:
    """Return why `new` over `old`, both whole machine configs, needs a restart; empty if it needs none.

    `old` is what was last applied. Values that differ in spelling alone count as a change where Talos's own type of
    the field would have to be known: an answer may say restart too often, never too seldom.
    Raises MachineConfigInvalid if one of them cannot be read.
    """
    keys = _changed(plain(old), plain(new), "")
    return tuple(found for key in keys if (found := reason(key, release)) is not None)


def restart_due(olds: Mapping[str, Any], news: Mapping[str, Any]) -> bool:
    """Whether MachineReady's or MachineRestarted's inputs ask for a restart that has not been made.

    Their token is that of the apply; the resource that has seen its node restart for an apply keeps it.
    """
    asked = news.get("reboot") == "request" and news.get("apply_mode") != "staged"
    return asked and olds.get("token") != news.get("token")


def reason(key: str, release: ReleaseFacts) -> RebootReason | None:
    """Return why a change of a key outside of LIVE restarts a node of the release; None where it takes it running."""
    taken = [
        *([] if release.part_at_boot else [f"machine.files: {PART_PATH}"]),
        *([] if release.udev_at_boot else ["machine.udev"]),
    ]
    if key in taken:
        return None
    by = By.APPLY if release.reboot_on_apply else By.REQUEST
    return RebootReason(key, _WHY.get(key.partition(":")[0].partition(" ")[0], _OTHERWISE), by)


def _changed(old: Mapping[str, Any], new: Mapping[str, Any], path: str) -> Iterator[str]:
    for key in sorted((old.keys() | new.keys()) - LIVE[path]):
        here = f"{path}.{key}" if path else key
        before, after = old.get(key), new.get(key)
        if before == after:
            continue
        if here in LIVE and isinstance(before, dict) and isinstance(after, dict):
            yield from _changed(before, after, here)
        elif here == "machine.files":
            yield from (f"{here}: {name}" for name in _changed_files(before or [], after or []))
        else:
            yield here


def _changed_files(before: Sequence[Any], after: Sequence[Any]) -> list[str]:
    """Paths whose entries differ; if only the order does, all."""
    old, new = _by_path(before), _by_path(after)
    names = list(dict.fromkeys([*old, *new]))
    return [name for name in names if old.get(name) != new.get(name)] or names or ["(empty)"]


def _by_path(entries: Sequence[Any]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for entry in entries:
        path = entry.get("path") if isinstance(entry, dict) else None
        found.setdefault(path[1] if isinstance(path, tuple) else "(no path)", []).append(entry)
    return found


def plain(config: str) -> dict[str, Any]:
    """Return the v1alpha1 document's values, scalars as (kind, text); null counts as absent."""
    for document in documents(config):
        if not document.kind:
            value = _value(written_out(document.root))
            return value if isinstance(value, dict) else {}
    return {}


def _value(node: yaml.Node) -> object:
    match node:
        case yaml.MappingNode():
            pairs = {comparable_key(key): _value(value) for key, value in node.value}
            return {key: value for key, value in pairs.items() if value is not None}
        case yaml.SequenceNode():
            return [_value(item) for item in node.value]
        case yaml.ScalarNode():
            return None if node.tag == NULL else _scalar(node)
        case _:
            raise TypeError(f"not a node: {type(node).__name__}")


def _scalar(node: yaml.ScalarNode) -> tuple[str, str]:
    """(kind, text), numbers in one spelling: `0o600`, `0600` and `384` are one mode."""
    text = str(node.value)
    if not node.style and (octal := _OCTAL.fullmatch(text)):
        return "int", str(int(octal[1], 8))
    if node.tag == "tag:yaml.org,2002:int" and text.isdigit():
        return "int", text
    return "text", text
