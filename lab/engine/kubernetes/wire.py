"""What the engine sends and gets: protobuf structs as plain values."""

from __future__ import annotations

import json
from typing import Any

from google.protobuf import json_format, struct_pb2

Object = dict[str, Any]
"""A Kubernetes object, or a part of one."""

UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
"""Stands for a value that is not known yet (sdk/go/common/resource/plugin/rpc.go)."""

INTERNAL = "__"
"""Keys that the provider keeps in the state for itself begin so."""


def plain(message: struct_pb2.Struct) -> Object:
    """A struct as values; whole numbers become int (the protocol knows doubles only), None values are dropped."""
    value: Object = _walk(json_format.MessageToDict(message))
    return value


def _walk(value: Any) -> Any:  # noqa: ANN401 (JSON)
    if isinstance(value, dict):
        return {key: _walk(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_walk(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def struct(value: Object) -> struct_pb2.Struct:
    """Values as a struct."""
    return json_format.ParseDict(value, struct_pb2.Struct())


def has_unknown(value: object) -> bool:
    """Whether something in it is not known yet."""
    return UNKNOWN in json.dumps(value)


def without_internal(value: Object) -> Object:
    """The object without the provider's own keys."""
    return {key: item for key, item in value.items() if not key.startswith(INTERNAL)}


def type_of(urn: str) -> str:
    """The resource's own type in a URN, such as `kubernetes:batch/v1:Job`."""
    return urn.split("::")[2].rpartition("$")[2]


def name_of(urn: str) -> str:
    """The resource's name in the program."""
    return urn.split("::", 3)[3]
