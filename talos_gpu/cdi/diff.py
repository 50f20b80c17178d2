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
    for key in (*old, *(key for key in new if key not in old)):
        if key not in new:
            yield Change(ChangeKind.REMOVED, key, old[key], "")
        elif key not in old:
            yield Change(ChangeKind.ADDED, key, "", new[key])
        elif old[key] != new[key]:
            yield Change(ChangeKind.CHANGED, key, old[key], new[key])


def _entries(spec: Spec) -> Iterator[tuple[str, str]]:
    yield "cdiVersion", spec.cdi_version
    yield "kind", spec.kind
    for key, value in spec.annotations:
        yield f"annotation {key}", value
    for device in sorted(spec.devices, key=lambda device: device.name):
        yield f"device {device.name}", "present"
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
    entries += [(f"mount {mount.container_path}", _mount(mount)) for mount in edits.mounts if mount is not None]
    for device in edits.net_devices:
        if device is not None:
            entries.append((f"net device {device.name}", device.host_interface_name))
    entries.sort()
    for hook in edits.hooks:
        if hook is not None:
            entries += _hook(hook)
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


def _mount(mount: Mount) -> str:
    options = ",".join(sorted(mount.options))
    return " ".join(part for part in (mount.host_path, mount.type, options and f"({options})") if part)


def _hook(hook: Hook) -> Iterator[tuple[str, str]]:
    words = [word for word in hook.args[1:] if word != "hook"]
    name = f"hook {words[0] if words and not words[0].startswith('-') else hook.hook_name}"
    yield f"{name} path", hook.path
    yield f"{name} stage", hook.hook_name
    yield f"{name} args", " ".join(hook.args)
    yield f"{name} env", " ".join(sorted(hook.env))
    if hook.timeout is not None:
        yield f"{name} timeout", str(hook.timeout)


def render(changes: Sequence[Change]) -> str:
    """One line a change; the same change in many places is one line with all of them. "" for no changes."""
    grouped: dict[tuple[ChangeKind, str, str], list[str]] = {}
    for change in changes:
        same = (change.kind, change.old, change.new) if change.kind is ChangeKind.CHANGED else None
        grouped.setdefault(same or (change.kind, change.path, ""), []).append(change.path)
    by_key = {(change.kind, change.path): change for change in changes}
    return "".join(_line(by_key[kind, paths[0]], paths) for (kind, _, _), paths in grouped.items())


def _line(change: Change, paths: Sequence[str]) -> str:
    match change.kind:
        case ChangeKind.ADDED:
            return f"+ {change.path}" + (f": {change.new}" if change.new not in ("", "present") else "") + "\n"
        case ChangeKind.REMOVED:
            return f"- {change.path}" + (f": {change.old}" if change.old not in ("", "present") else "") + "\n"
        case ChangeKind.CHANGED:
            return f"~ {', '.join(paths)}: {change.old or '(empty)'} -> {change.new or '(empty)'}\n"
