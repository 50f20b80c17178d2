"""What differs between two specs for a container: the order of keys and lists, layout and quoting don't count.

A driver upgrade renames every library; it is one change with a count, and only what differs beside it is listed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from typing_extensions import override

from talos_gpu.cdi.hooks import hook_command
from talos_gpu.cdi.model import ContainerEdits, DeviceNode, Hook, IntelRdt, Mount, Spec
from talos_gpu.cdi.needs import facts_of
from talos_gpu.cdi.schema import Library
from talos_gpu.cdi.spec import parse

DRIVER = "driver version"


class ChangeKind(StrEnum):
    """What happened to an element."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a spec: `device` is "" for the edits that every device brings, `field` is "" for the element itself.

    `element` is one of device, node, mount, hook, env, net device, annotation, intelRdt, additionalGids, cdiVersion,
    kind, driver version; `name` is its name or path, with ` #2` for the second of that name.
    """

    element: str
    name: str = ""
    field: str = ""
    device: str = ""

    @override
    def __str__(self) -> str:
        scope = f"device {self.device}: " if self.device else ""
        name = f" {self.name}" if self.name else ""
        return f"{scope}{self.element}{name}" + (f": {self.field}" if self.field else "")

    @property
    def whole(self) -> tuple[Place, ...]:
        """The places that contain this one."""
        above = (Place(self.element, self.name, device=self.device),) if self.field else ()
        return (*above, Place("device", self.device)) if self.device else above


@dataclass(frozen=True, slots=True)
class Change:
    """One difference; `old` is "" for what was added, `new` is "" for what was removed.

    `count` is how many elements differ in nothing else: more than 1 for a driver version only.
    """

    kind: ChangeKind
    place: Place
    old: str
    new: str
    count: int = 1

    @property
    def path(self) -> str:
        """The place as one text: `device 0: hook chmod: path`."""
        return str(self.place)


Entries = dict[Place, str]


def diff(old: str, new: str, *, every: bool = False, library: Library = Library.V1_1_0) -> list[Change]:
    """The changes from one spec text to another, in a stable order. Raises SpecInvalid.

    `every` lists each element that a driver upgrade renames, where it is one change otherwise.
    """
    return diff_of(parse(old, library=library), parse(new, library=library), every=every)


def diff_of(before: Spec, after: Spec, *, every: bool = False) -> list[Change]:
    """The changes from one spec to another."""
    old, new = _entries(before, after)
    changes: list[Change] = []
    was, now = facts_of(before).driver_version, facts_of(after).driver_version
    if was is not None and now is not None and was != now:
        driver = re.compile(rf"(?<![0-9])(?<![0-9]\.){re.escape(was)}(?![0-9])")
        named = {_element(place) for place, value in old.items() if driver.search(f"{place} {value}")}
        changes.append(Change(ChangeKind.CHANGED, Place(DRIVER), was, now, len(named)))
        if every:
            changes += _renames(driver, now, old)
        old = {_renamed(driver, now, place): driver.sub(now, value) for place, value in old.items()}
    return changes + list(_compare(old, new))


def _renamed(driver: re.Pattern[str], now: str, place: Place) -> Place:
    return Place(place.element, driver.sub(now, place.name), place.field, place.device)


def _renames(driver: re.Pattern[str], now: str, old: Entries) -> Iterator[Change]:
    """Names and values with the driver version in them."""
    for place, value in old.items():
        there = _renamed(driver, now, place)
        if there.name != place.name and not place.field:
            yield Change(ChangeKind.CHANGED, there, place.name, there.name)
        if (renamed := driver.sub(now, value)) != value:
            yield Change(ChangeKind.CHANGED, there, value, renamed)


def _element(place: Place) -> Place:
    return Place(place.element, place.name, device=place.device)


def _compare(old: Entries, new: Entries) -> Iterator[Change]:
    every = {**old, **new}
    # of a device or hook that came or went only that is said, not its parts
    whole = {place for place in every if (place in old) != (place in new)}
    for place in every:
        if any(above in whole for above in place.whole):
            continue
        if place not in new:
            yield Change(ChangeKind.REMOVED, place, old[place], "")
        elif place not in old:
            yield Change(ChangeKind.ADDED, place, "", new[place])
        elif old[place] != new[place]:
            yield Change(ChangeKind.CHANGED, place, old[place], new[place])


def _entries(before: Spec, after: Spec) -> tuple[Entries, Entries]:
    """Both specs by place; hooks are paired first, so that one that went does not rename those after it."""
    old, new = Entries(), Entries()
    devices = {device.name: device for device in before.devices}, {device.name: device for device in after.devices}
    for spec, into, named in ((before, old, devices[0]), (after, new, devices[1])):
        into[Place("cdiVersion")] = spec.cdi_version
        into[Place("kind")] = spec.kind
        into.update((Place("annotation", key), value) for key, value in spec.annotations)
        for name in sorted(named):
            into[Place("device", name)] = ""
            annotations = named[name].annotations
            into.update((Place("annotation", key, device=name), value) for key, value in annotations)
    nothing = ContainerEdits()
    for name in sorted({**devices[0], **devices[1]}):
        edits = (named[name].container_edits if name in named else nothing for named in devices)
        _add(old, new, name, *edits)
    _add(old, new, "", before.container_edits, after.container_edits)
    return old, new


def _add(old: Entries, new: Entries, device: str, before: ContainerEdits, after: ContainerEdits) -> None:
    for into, edits in ((old, before), (new, after)):
        seen: dict[tuple[str, str], int] = {}
        for element, name, fields in sorted(_named(edits), key=lambda found: (ORDER.index(found[0]), found[1])):
            label = _numbered(seen, element, name)
            into.update((Place(element, label, field, device), value) for field, value in fields)
    for label, pair in _paired(before.hooks, after.hooks):
        for into, hook in zip((old, new), pair, strict=True):
            if hook is not None:
                into.update((Place("hook", label, field, device), value) for field, value in _hook(hook))
    for into, edits in ((old, before), (new, after)):
        for field, value in _settings(edits):
            into[Place(field, device=device)] = value


ORDER = ("node", "mount", "net device", "env")


def _numbered(seen: dict[tuple[str, str], int], element: str, name: str) -> str:
    seen[element, name] = count = seen.get((element, name), 0) + 1
    return name if count == 1 else f"{name} #{count}"


def _named(edits: ContainerEdits) -> Iterator[tuple[str, str, list[tuple[str, str]]]]:
    """(element, name, its fields) of what has a name of its own."""
    for variable in edits.env:
        name, _, value = variable.partition("=")
        yield "env", name, [("", value)]
    for node in edits.device_nodes:
        if node is not None:
            yield "node", node.path, [("", _node(node))]
    for device in edits.net_devices:
        if device is not None:
            yield "net device", device.name, [("", device.host_interface_name)]
    for mount in edits.mounts:
        if mount is not None:
            yield "mount", mount.container_path, _mount(mount)


def _node(node: DeviceNode) -> str:
    parts = [node.host_path and f"from {node.host_path}", node.type and f"type {node.type}"]
    parts.append(f"{node.major}:{node.minor}" if node.major else "")
    parts.append("" if node.file_mode is None else f"mode {node.file_mode:o}")
    parts.append(node.permissions)
    parts += ["" if owner is None else f"{name} {owner}" for name, owner in (("uid", node.uid), ("gid", node.gid))]
    return " ".join(part for part in parts if part) or "as on the host"


def _mount(mount: Mount) -> list[tuple[str, str]]:
    source = "" if mount.host_path == mount.container_path else f"from {mount.host_path}"
    return [("", source), ("options", " ".join(sorted(mount.options))), ("type", mount.type)]


def _hook(hook: Hook) -> list[tuple[str, str]]:
    timeout = "" if hook.timeout is None else str(hook.timeout)
    fields = [("", " ".join(hook.args)), ("path", hook.path), ("stage", hook.hook_name)]
    return [*fields, ("env", " ".join(sorted(hook.env))), ("timeout", timeout)]


def _settings(edits: ContainerEdits) -> Iterator[tuple[str, str]]:
    if edits.intel_rdt is not None:
        yield "intelRdt", _intel_rdt(edits.intel_rdt)
    if edits.additional_gids:
        yield "additionalGids", " ".join(map(str, sorted(edits.additional_gids)))


def _intel_rdt(rdt: IntelRdt) -> str:
    parts = [("closID", rdt.clos_id), ("l3CacheSchema", rdt.l3_cache_schema), ("memBwSchema", rdt.mem_bw_schema)]
    parts += [("schemata", ",".join(rdt.schemata or ()))]
    flags = (("enableCMT", rdt.enable_cmt), ("enableMBM", rdt.enable_mbm), ("enableMonitoring", rdt.enable_monitoring))
    words = [f"{name}={value}" for name, value in parts if value]
    return " ".join(words + [name for name, value in flags if value]) or "empty"


Pair = tuple[Hook | None, Hook | None]


def _paired(old: Sequence[Hook | None], new: Sequence[Hook | None]) -> Iterator[tuple[str, Pair]]:
    """Hooks of both sides under one label each: equal arguments belong together, the rest in order."""
    groups: dict[str, tuple[list[Hook], list[Hook]]] = {}
    for side, hooks in enumerate((old, new)):
        for hook in hooks:
            if hook is not None:
                groups.setdefault(hook_command(hook) or hook.hook_name, ([], []))[side].append(hook)
    for name, (was, now) in groups.items():
        for index, pair in enumerate(_pairs(was, now)):
            yield name if index == 0 else f"{name} #{index + 1}", pair


def _pairs(old: list[Hook], new: list[Hook]) -> list[Pair]:
    by_args: dict[tuple[str, ...], list[int]] = {}
    for index, hook in enumerate(new):
        by_args.setdefault(hook.args, []).append(index)
    partner: dict[int, int] = {}
    for index, hook in enumerate(old):
        if by_args.get(hook.args):
            partner[index] = by_args[hook.args].pop(0)
    left = sorted(index for rest in by_args.values() for index in rest)
    if len(old) == len(new):
        # as many as before: those that match nothing are the same hooks with other arguments
        free = [index for index in range(len(old)) if index not in partner]
        partner.update(zip(free, left, strict=True))
        left = []
    pairs: list[Pair] = [(hook, new[partner[index]] if index in partner else None) for index, hook in enumerate(old)]
    return pairs + [(None, new[index]) for index in left]
