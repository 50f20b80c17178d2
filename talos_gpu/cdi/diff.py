"""What differs between two specs for a container: the order of keys and lists, layout and quoting don't count.

A driver upgrade renames every library; it reads as one change of the driver, and only what differs beside is listed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from talos_gpu.cdi.facts import facts_of
from talos_gpu.cdi.model import ContainerEdits, DeviceNode, Hook, Mount, Spec
from talos_gpu.cdi.spec import parse

Entries = dict[str, str]
EMPTY = "(empty)"
# how many places of one and the same change are named on its line
MOST_PLACES = 4
# beyond this many words only those that differ are shown
MOST_WORDS = 12
LONGEST = 240


class ChangeKind(StrEnum):
    """What happened to an element."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"


@dataclass(frozen=True, slots=True)
class Change:
    """One difference; `old` is "" for what was added, `new` is "" for what was removed."""

    kind: ChangeKind
    path: str
    old: str
    new: str


def diff(old: str, new: str) -> list[Change]:
    """The changes from one spec text to another, in a stable order. Raises SpecInvalid."""
    before, after = parse(old), parse(new)
    changes: list[Change] = []
    was, now = facts_of(before).driver_version, facts_of(after).driver_version
    if was is not None and now is not None and was != now:
        changes.append(Change(ChangeKind.CHANGED, "driver version", was, now))
        before = parse(old.replace(was, now))
    return changes + list(_compare(dict(_entries(before)), dict(_entries(after))))


def _compare(old: Entries, new: Entries) -> Iterator[Change]:
    # of a device or hook that came or went only that is said, not its parts
    whole = {key for key in {**old, **new} if (key in old) != (key in new)}
    for key in {**old, **new}:
        if any(parent in whole for parent in _parents(key)):
            continue
        if key not in new:
            yield Change(ChangeKind.REMOVED, key, old[key], "")
        elif key not in old:
            yield Change(ChangeKind.ADDED, key, "", new[key])
        elif old[key] != new[key]:
            yield Change(ChangeKind.CHANGED, key, old[key], new[key])


def _parents(key: str) -> Iterator[str]:
    parent = key.rpartition(": ")[0]
    while parent:
        yield parent
        parent = parent.rpartition(": ")[0]


def _entries(spec: Spec) -> Iterator[tuple[str, str]]:
    yield "cdiVersion", spec.cdi_version
    yield "kind", spec.kind
    for key, value in spec.annotations:
        yield f"annotation {key}", value
    for device in sorted(spec.devices, key=lambda device: device.name):
        yield f"device {device.name}", ""
        for key, value in device.annotations:
            yield f"device {device.name}: annotation {key}", value
        yield from _edits(f"device {device.name}: ", device.container_edits)
    yield from _edits("", spec.container_edits)


def _edits(scope: str, edits: ContainerEdits) -> Iterator[tuple[str, str]]:
    entries: list[tuple[str, str]] = []
    for variable in edits.env:
        name, _, value = variable.partition("=")
        entries.append((f"env {name}", value))
    entries += [(f"node {node.path}", _node(node)) for node in edits.device_nodes if node is not None]
    entries += _mounts(edits.mounts)
    for device in edits.net_devices:
        if device is not None:
            entries.append((f"net device {device.name}", device.host_interface_name))
    entries.sort()
    entries += _hooks(edits.hooks)
    if edits.intel_rdt is not None:
        entries.append(("intelRdt", str(edits.intel_rdt)))
    if edits.additional_gids:
        entries.append(("additionalGids", " ".join(map(str, sorted(edits.additional_gids)))))
    seen: dict[str, int] = {}
    for key, value in entries:
        seen[key] = seen.get(key, 0) + 1
        yield scope + (key if seen[key] == 1 else f"{key} #{seen[key]}"), value


def _node(node: DeviceNode) -> str:
    parts = [node.host_path and f"from {node.host_path}", node.type and f"type {node.type}"]
    parts.append(f"{node.major}:{node.minor}" if node.major else "")
    parts.append("" if node.file_mode is None else f"mode {node.file_mode:o}")
    parts.append(node.permissions)
    parts += ["" if owner is None else f"{name} {owner}" for name, owner in (("uid", node.uid), ("gid", node.gid))]
    return " ".join(part for part in parts if part) or "as on the host"


def _mounts(mounts: Sequence[Mount | None]) -> Iterator[tuple[str, str]]:
    for mount in mounts:
        if mount is not None:
            name = f"mount {mount.container_path}"
            yield name, "" if mount.host_path == mount.container_path else f"from {mount.host_path}"
            yield f"{name}: options", " ".join(sorted(mount.options))
            yield f"{name}: type", mount.type


def _hooks(hooks: Sequence[Hook | None]) -> Iterator[tuple[str, str]]:
    seen: dict[str, int] = {}
    for hook in hooks:
        if hook is None:
            continue
        words = [word for word in hook.args[1:] if word != "hook"]
        name = f"hook {words[0] if words and not words[0].startswith('-') else hook.hook_name}"
        seen[name] = seen.get(name, 0) + 1
        name = name if seen[name] == 1 else f"{name} #{seen[name]}"
        yield name, " ".join(hook.args)
        yield f"{name}: path", hook.path
        yield f"{name}: stage", hook.hook_name
        yield f"{name}: env", " ".join(sorted(hook.env))
        yield f"{name}: timeout", "" if hook.timeout is None else str(hook.timeout)


def render(changes: Sequence[Change]) -> str:
    """One short line a change; a change that is the same in many places is one line. "" for no changes."""
    signs = {ChangeKind.ADDED: "+", ChangeKind.REMOVED: "-", ChangeKind.CHANGED: "~"}
    lines: dict[tuple[str, str], list[str]] = {}
    for change in changes:
        value = _clipped(change.old or change.new)
        if change.kind is ChangeKind.CHANGED:
            value = _changed(change.old, change.new)
        # what came or went without a value of its own gets a line of its own
        lines.setdefault((signs[change.kind], value or change.path), []).append(change.path)
    return "".join(
        f"{sign} {_places(paths)}" + ("\n" if value == paths[0] else f": {value}\n")
        for (sign, value), paths in lines.items()
    )


def _changed(old: str, new: str) -> str:
    was, now = old.split(), new.split()
    if len(was) + len(now) <= MOST_WORDS:
        return f"{_clipped(old) or EMPTY} -> {_clipped(new) or EMPTY}"
    gone = [f"-{word}" for word in was if word not in now]
    came = [f"+{word}" for word in now if word not in was]
    return _clipped(" ".join((*gone, *came))) or "in another order"


def _clipped(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}... ({len(text)} characters)"


def _places(paths: Sequence[str]) -> str:
    hidden = len(paths) - MOST_PLACES
    return ", ".join(paths[:MOST_PLACES]) + (f" and {hidden} more" if hidden > 0 else "")
