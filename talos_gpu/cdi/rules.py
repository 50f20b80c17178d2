"""The CDI library's own checks on a decoded spec: every fault at once, where the library stops at the first.

Annotations are not looked at: the library's check takes `map[string]interface{}`, gets `map[string]string` and so
passes everything (internal/validation/validate.go).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from talos_gpu.cdi.decoder import Path
from talos_gpu.cdi.model import ContainerEdits, DeviceNode, Hook, IntelRdt, Mount, NetDevice, Spec
from talos_gpu.cdi.schema import Library

HOOK_NAMES = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")
DEVICE_TYPES = ("", "b", "c", "u", "p")
VERSIONS = ("0.1.0", "0.2.0", "0.3.0", "0.4.0", "0.5.0", "0.6.0", "0.7.0", "0.8.0", "1.0.0", "1.1.0")
EARLIEST = "0.3.0"
"""What every spec needs at least (specs-go/version.go vEarliest), though 0.1.0 and 0.2.0 are known versions."""
LONGEST_CLOS_ID = 4095

EDITS = "pkg/cdi/container-edits.go"
SPEC = "pkg/cdi/spec.go validate"
DEVICE = "pkg/cdi/device.go validate"
VERSION = "specs-go/version.go ValidateVersion"
NAMES = "pkg/parser/parser.go"

_VENDOR_OR_CLASS = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*[A-Za-z0-9]")
_DEVICE_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.:-]*[A-Za-z0-9])?")


@dataclass(frozen=True, slots=True)
class Violation:
    """A broken rule before its place in the text is looked up."""

    path: Path
    rule: str
    message: str
    source: str


def check(spec: Spec, library: Library) -> Iterator[Violation]:
    """Every rule of the library release that the spec breaks."""
    yield from _version(spec, library)
    yield from _kind(spec)
    yield from _edits(spec.container_edits, ("containerEdits",), library)
    seen: dict[str, int] = {}
    for index, device in enumerate(spec.devices):
        path: Path = ("devices", index)
        if _DEVICE_NAME.fullmatch(device.name) is None:
            yield Violation(
                (*path, "name"),
                "device-name",
                f"device name {device.name!r} must be letters, digits and _ . : - , a letter or digit at both ends",
                f"{NAMES} ValidateDeviceName",
            )
        elif device.name in seen:
            yield Violation(
                (*path, "name"),
                "device-twice",
                f"multiple device {device.name!r}, first as devices[{seen[device.name]}]",
                SPEC,
            )
        seen.setdefault(device.name, index)
        if _empty(device.container_edits):
            yield Violation((*path, "containerEdits"), "empty-edits", "empty device edits", DEVICE)
        yield from _edits(device.container_edits, (*path, "containerEdits"), library)
    if not spec.devices:
        yield Violation(("devices",), "no-devices", "no devices", SPEC)


def _version(spec: Spec, library: Library) -> Iterator[Violation]:
    known = VERSIONS[: VERSIONS.index("1.1.0" if library is Library.V1_1_0 else "1.0.0") + 1]
    version = spec.cdi_version.removeprefix("v")
    if version not in known:
        yield Violation(
            ("cdiVersion",),
            "version",
            f"version {spec.cdi_version!r} is none of {', '.join(known)} (CDI library {library})",
            VERSION,
        )
        return
    if VERSIONS.index(version) < VERSIONS.index(EARLIEST):
        message = f"every spec needs cdiVersion {EARLIEST}, the spec says {version}"
        yield Violation(("cdiVersion",), "minimum-version", message, VERSION)
    for minimum, path, reason in _needs(spec):
        if VERSIONS.index(minimum) > VERSIONS.index(version):
            yield Violation(
                path, "minimum-version", f"{reason} needs cdiVersion {minimum}, the spec says {version}", VERSION
            )


def _needs(spec: Spec) -> Iterator[tuple[str, Path, str]]:
    """(minimum version, place, what needs it); specs-go/version.go requiresV040 to requiresV110."""
    if spec.annotations:
        yield "0.6.0", ("annotations",), "annotations"
    if "." in spec.kind.partition("/")[2]:
        yield "0.6.0", ("kind",), "a dot in the class"
    yield from _edits_need(spec.container_edits, ("containerEdits",))
    for index, device in enumerate(spec.devices):
        path: Path = ("devices", index)
        if device.annotations:
            yield "0.6.0", (*path, "annotations"), "annotations"
        if device.name[:1].isascii() and device.name[:1].isdigit():
            yield "0.5.0", (*path, "name"), "a device name that starts with a digit"
        yield from _edits_need(device.container_edits, (*path, "containerEdits"))


def _edits_need(edits: ContainerEdits, path: Path) -> Iterator[tuple[str, Path, str]]:
    for index, node in enumerate(edits.device_nodes):
        if node is not None and node.host_path:
            yield "0.5.0", (*path, "deviceNodes", index, "hostPath"), "deviceNodes.hostPath"
    for index, mount in enumerate(edits.mounts):
        if mount is not None and mount.type:
            yield "0.4.0", (*path, "mounts", index, "type"), "mounts.type"
    if edits.additional_gids:
        yield "0.7.0", (*path, "additionalGids"), "additionalGids"
    if edits.net_devices:
        yield "1.1.0", (*path, "netDevices"), "netDevices"
    if edits.intel_rdt is not None:
        yield "0.7.0", (*path, "intelRdt"), "intelRdt"
        if edits.intel_rdt.schemata is not None:
            yield "1.1.0", (*path, "intelRdt", "schemata"), "intelRdt.schemata"
        if edits.intel_rdt.enable_monitoring:
            yield "1.1.0", (*path, "intelRdt", "enableMonitoring"), "intelRdt.enableMonitoring"


def _kind(spec: Spec) -> Iterator[Violation]:
    vendor, slash, device_class = spec.kind.partition("/")
    if not (slash and vendor and device_class):
        yield Violation(
            ("kind",),
            "kind",
            f"kind {spec.kind!r} is no <vendor>/<class>",
            f"{NAMES} ParseQualifier",
        )
        return
    for what, name, function in (
        ("vendor", vendor, "ValidateVendorName"),
        ("class", device_class, "ValidateClassName"),
    ):
        if _VENDOR_OR_CLASS.fullmatch(name) is None:
            # a name of one letter makes the library of these releases panic (name[1 : len(name)-1])
            yield Violation(
                ("kind",),
                what,
                f"{what} {name!r} must be two or more of letters, digits and _ . - , "
                "start with a letter and end with a letter or digit",
                f"{NAMES} {function}",
            )


def _empty(edits: ContainerEdits) -> bool:
    return not (
        edits.env
        or edits.device_nodes
        or edits.net_devices
        or edits.hooks
        or edits.mounts
        or edits.additional_gids
        or edits.intel_rdt is not None
    )


def _edits(edits: ContainerEdits, path: Path, library: Library) -> Iterator[Violation]:
    yield from _env(edits.env, (*path, "env"))
    for index, node in enumerate(edits.device_nodes):
        yield from _device_node(node, (*path, "deviceNodes", index))
    yield from _net_devices(edits.net_devices, (*path, "netDevices"))
    for index, hook in enumerate(edits.hooks):
        yield from _hook(hook, (*path, "hooks", index))
    for index, mount in enumerate(edits.mounts):
        yield from _mount(mount, (*path, "mounts", index))
    if edits.intel_rdt is not None:
        yield from _intel_rdt(edits.intel_rdt, (*path, "intelRdt"), library)


def _null(path: Path, what: str) -> Violation:
    return Violation(path, "null", f"null where a {what} belongs: the library dereferences it and panics", EDITS)


def _env(env: Sequence[str], path: Path) -> Iterator[Violation]:
    for index, variable in enumerate(env):
        if variable.find("=") <= 0:
            yield Violation(
                (*path, index), "env", f"environment variable {variable!r} is no NAME=value", f"{EDITS} ValidateEnv"
            )


def _device_node(node: DeviceNode | None, path: Path) -> Iterator[Violation]:
    source = f"{EDITS} DeviceNode.Validate"
    if node is None:
        yield _null(path, "device node")
        return
    if not node.path:
        yield Violation((*path, "path"), "device-path", "empty device path", source)
    if node.type not in DEVICE_TYPES:
        yield Violation((*path, "type"), "device-type", f"device type {node.type!r} is none of b, c, u, p", source)
    if set(node.permissions) - set("rwm"):
        yield Violation(
            (*path, "permissions"), "permissions", f"permissions {node.permissions!r} are not of r, w, m", source
        )


def _hook(hook: Hook | None, path: Path) -> Iterator[Violation]:
    source = f"{EDITS} Hook.Validate"
    if hook is None:
        yield _null(path, "hook")
        return
    if hook.hook_name not in HOOK_NAMES:
        yield Violation(
            (*path, "hookName"), "hook-name", f"hook name {hook.hook_name!r} is none of {', '.join(HOOK_NAMES)}", source
        )
    if not hook.path:
        yield Violation((*path, "path"), "hook-path", "hook with empty path", source)
    yield from _env(hook.env, (*path, "env"))


def _mount(mount: Mount | None, path: Path) -> Iterator[Violation]:
    source = f"{EDITS} Mount.Validate"
    if mount is None:
        yield _null(path, "mount")
        return
    if not mount.host_path:
        yield Violation((*path, "hostPath"), "mount-path", "empty host path", source)
    if not mount.container_path:
        yield Violation((*path, "containerPath"), "mount-path", "empty container path", source)


def _net_devices(devices: Sequence[NetDevice | None], path: Path) -> Iterator[Violation]:
    hosts: set[str] = set()
    names: set[str] = set()
    for index, device in enumerate(devices):
        if device is None:
            yield _null((*path, index), "net device")
            continue
        for key, value, seen in (
            ("hostInterfaceName", device.host_interface_name, hosts),
            ("name", device.name, names),
        ):
            if not value or value in seen:
                yield Violation(
                    (*path, index, key),
                    "net-device",
                    f"duplicate {key} {value!r}" if value else f"empty {key}",
                    f"{EDITS} ValidateNetDevices",
                )
            seen.add(value)


def _intel_rdt(rdt: IntelRdt, path: Path, library: Library) -> Iterator[Violation]:
    if library is Library.V1_1_0 and rdt.clos_id == "/":
        return
    name = rdt.clos_id
    if len(name.encode()) > LONGEST_CLOS_ID or name in (".", "..") or "/" in name or "\n" in name:
        yield Violation(
            (*path, "closID"), "clos-id", f"closID {name[:64]!r} is no file name", f"{EDITS} IntelRdt.Validate"
        )
