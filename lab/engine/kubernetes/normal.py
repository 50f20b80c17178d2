"""Values as the server spells them, so that another spelling of the same is no difference.

The official plugin sends known kinds through Go's types; of what that does, quantities (`1000m` is `1`) and a Secret's
stringData matter. Sources: k8s.io/apimachinery/pkg/api/resource, provider/pkg/clients (Normalize).
"""

from __future__ import annotations

import base64
import re
from decimal import Decimal
from typing import Any

from lab.engine.kubernetes.objects import kind_of
from lab.engine.kubernetes.wire import Object, has_unknown

_READ_ONLY = (
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "generation",
    "managedFields",
    "resourceVersion",
    "uid",
)
_QUANTITY_MAPS = frozenset(("limits", "requests", "capacity", "hard", "podFixed"))
_QUANTITIES = frozenset(("sizeLimit", "divisor"))
_QUANTITY = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))(Ki|Mi|Gi|Ti|Pi|Ei|n|u|m|k|M|G|T|P|E|)")
_BINARY = ("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei")
_DECIMAL = ("n", "u", "m", "", "k", "M", "G", "T", "P", "E")


def normal(obj: Object) -> Object:
    """The object without read-only metadata and with values in the server's spelling."""
    out = _walk(obj)
    if isinstance(out.get("metadata"), dict):
        out["metadata"] = {key: value for key, value in out["metadata"].items() if key not in _READ_ONLY}
    normalized: Object = out
    return normalized


def stored(obj: Object) -> Object:
    """The normal object as the server stores it: a Secret's stringData becomes data."""
    out = normal(obj)
    if kind_of(out) == "Secret" and isinstance(out.get("stringData"), dict) and not has_unknown(out["stringData"]):
        encoded = {key: base64.b64encode(str(text).encode()).decode() for key, text in out.pop("stringData").items()}
        out["data"] = {**(out.get("data") or {}), **encoded}
    return out


def as_said(found: Object, inputs: Object) -> Object:
    """`stored` undone: what the program gave as stringData is stringData again, where the engine knows its secrets."""
    said = inputs.get("stringData")
    if kind_of(inputs) != "Secret" or not isinstance(said, dict):
        return found
    data = dict(found.get("data") or {})
    plain = {key: base64.b64decode(data.pop(key)).decode(errors="replace") for key in said if key in data}
    out = {**found, "stringData": plain, "data": data}
    return out if data else {key: item for key, item in out.items() if key != "data"}


def _walk(value: Any, key: str = "") -> Any:  # noqa: ANN401 (JSON)
    if isinstance(value, dict):
        if key in _QUANTITY_MAPS:
            return {name: quantity(item) for name, item in value.items()}
        return {name: _walk(item, name) for name, item in value.items()}
    if isinstance(value, list):
        return [_walk(item) for item in value]
    return quantity(value) if key in _QUANTITIES else value


def quantity(value: Any) -> Any:  # noqa: ANN401 (JSON)
    """A quantity in canonical form: `1000m` -> `1`, `0.5` -> `500m`, `1024Mi` -> `1Gi`; anything else unchanged."""
    text = str(value)
    found = _QUANTITY.fullmatch(text)
    if isinstance(value, bool) or not found:
        return value
    number, suffix = Decimal(found[1]), found[2]
    binary = suffix in _BINARY and suffix != ""
    units = _BINARY if binary else _DECIMAL
    base = Decimal(1024) if binary else Decimal(1000)
    offset = 0 if binary else _DECIMAL.index("")
    amount = number * base ** (units.index(suffix) - offset)
    if amount == 0:
        return "0"
    for power in range(len(units) - 1, -1, -1):
        scaled = amount / base ** (power - offset)
        if scaled == scaled.to_integral_value():
            return f"{int(scaled)}{units[power]}"
    return text
