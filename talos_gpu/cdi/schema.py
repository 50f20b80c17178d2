"""Which fields a spec may have, by release of the CDI library, and what JSON type each takes.

From specs-go/config.go v1.0.0 and v1.1.0. Field names match as in Go's encoding/json: exactly, else without case.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, StrEnum
from types import MappingProxyType
from typing import Any

from talos_gpu.cdi import model


class Library(StrEnum):
    """Releases of tags.cncf.io/container-device-interface that differ in what they accept."""

    V1_0_1 = "1.0.1"
    """containerd 2.1.4, the one of Talos 1.11."""
    V1_1_0 = "1.1.0"
    """containerd 2.2 and later."""

    @classmethod
    def of_containerd(cls, version: str) -> Library:
        """The release in a containerd of that version: `2.1.4`, `v2.2.0`."""
        numbers = [int(part) for part in version.removeprefix("v").split("-")[0].split(".")[:2] if part.isdigit()]
        return cls.V1_1_0 if numbers >= [2, 2] else cls.V1_0_1


class Kind(Enum):
    """The Go type of a field."""

    STRING = "string"
    BOOL = "bool"
    INT64 = "int64"
    INT = "int"
    UINT32 = "uint32"
    STRINGS = "[]string"
    UINT32S = "[]uint32"
    STRING_MAP = "map[string]string"
    STRUCT = "struct"
    POINTER = "*struct"
    STRUCTS = "[]struct"
    POINTERS = "[]*struct"


@dataclass(frozen=True, slots=True)
class Field:
    """One field: where it goes in the model, its type, and the library releases that know it."""

    name: str
    attribute: str
    kind: Kind
    of: type[Any] | None = None
    known_to: tuple[Library, ...] = tuple(Library)


def _fields(*fields: Field) -> MappingProxyType[str, Field]:
    return MappingProxyType({field.name: field for field in fields})


_EDITS = Field("containerEdits", "container_edits", Kind.STRUCT, model.ContainerEdits)
_ANNOTATIONS = Field("annotations", "annotations", Kind.STRING_MAP)
_OLD, _NEW = (Library.V1_0_1,), (Library.V1_1_0,)

FIELDS: MappingProxyType[type[Any], MappingProxyType[str, Field]] = MappingProxyType(
    {
        model.Spec: _fields(
            Field("cdiVersion", "cdi_version", Kind.STRING),
            Field("kind", "kind", Kind.STRING),
            _ANNOTATIONS,
            Field("devices", "devices", Kind.STRUCTS, model.Device),
            _EDITS,
        ),
        model.Device: _fields(Field("name", "name", Kind.STRING), _ANNOTATIONS, _EDITS),
        model.ContainerEdits: _fields(
            Field("env", "env", Kind.STRINGS),
            Field("deviceNodes", "device_nodes", Kind.POINTERS, model.DeviceNode),
            Field("netDevices", "net_devices", Kind.POINTERS, model.NetDevice, known_to=_NEW),
            Field("hooks", "hooks", Kind.POINTERS, model.Hook),
            Field("mounts", "mounts", Kind.POINTERS, model.Mount),
            Field("intelRdt", "intel_rdt", Kind.POINTER, model.IntelRdt),
            Field("additionalGids", "additional_gids", Kind.UINT32S),
        ),
        model.DeviceNode: _fields(
            Field("path", "path", Kind.STRING),
            Field("hostPath", "host_path", Kind.STRING),
            Field("type", "type", Kind.STRING),
            Field("major", "major", Kind.INT64),
            Field("minor", "minor", Kind.INT64),
            Field("fileMode", "file_mode", Kind.UINT32),
            Field("permissions", "permissions", Kind.STRING),
            Field("uid", "uid", Kind.UINT32),
            Field("gid", "gid", Kind.UINT32),
        ),
        model.Hook: _fields(
            Field("hookName", "hook_name", Kind.STRING),
            Field("path", "path", Kind.STRING),
            Field("args", "args", Kind.STRINGS),
            Field("env", "env", Kind.STRINGS),
            Field("timeout", "timeout", Kind.INT),
        ),
        model.Mount: _fields(
            Field("hostPath", "host_path", Kind.STRING),
            Field("containerPath", "container_path", Kind.STRING),
            Field("options", "options", Kind.STRINGS),
            Field("type", "type", Kind.STRING),
        ),
        model.NetDevice: _fields(
            Field("hostInterfaceName", "host_interface_name", Kind.STRING), Field("name", "name", Kind.STRING)
        ),
        model.IntelRdt: _fields(
            Field("closID", "clos_id", Kind.STRING),
            Field("l3CacheSchema", "l3_cache_schema", Kind.STRING),
            Field("memBwSchema", "mem_bw_schema", Kind.STRING),
            Field("enableCMT", "enable_cmt", Kind.BOOL, known_to=_OLD),
            Field("enableMBM", "enable_mbm", Kind.BOOL, known_to=_OLD),
            Field("schemata", "schemata", Kind.STRINGS, known_to=_NEW),
            Field("enableMonitoring", "enable_monitoring", Kind.BOOL, known_to=_NEW),
        ),
    }
)

INTEGER_RANGES: MappingProxyType[Kind, tuple[int, int]] = MappingProxyType(
    {
        Kind.INT64: (-(2**63), 2**63 - 1),
        Kind.INT: (-(2**63), 2**63 - 1),
        Kind.UINT32: (0, 2**32 - 1),
        Kind.UINT32S: (0, 2**32 - 1),
    }
)

# Go's encoding/json folds case by Unicode, where these two letters meet ASCII ones
_FOLDS = str.maketrans({"\u212a": "k", "\u017f": "s"})


def fold(name: str) -> str:
    """The form in which Go's encoding/json compares field names that do not match exactly."""
    return name.translate(_FOLDS).lower() if not name.isascii() else name.lower()


FOLDED: MappingProxyType[type[Any], MappingProxyType[str, Field]] = MappingProxyType(
    {cls: MappingProxyType({fold(name): field for name, field in fields.items()}) for cls, fields in FIELDS.items()}
)


def find_field(cls: type[Any], key: str, library: Library) -> Field | None:
    """The field of `cls` that a key means to `library`, None where it knows none."""
    field = FIELDS[cls].get(key) or FOLDED[cls].get(fold(key))
    return field if field is not None and library in field.known_to else None


def names(cls: type[Any], library: Library) -> str:
    """The names of the fields of `cls` that a library knows."""
    return ", ".join(name for name, field in FIELDS[cls].items() if library in field.known_to)
