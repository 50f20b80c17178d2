"""What a YAML scalar means to sigs.k8s.io/yaml 1.4.0, the library that reads CDI specs in containerd.

It resolves by YAML 1.1 with go-yaml v2's own habits (goyaml.v2/resolve.go), then turns numbers and booleans into text
where the field is a string (yaml.go, convertToJSONableObject). PyYAML resolves otherwise: `08`, `0o7`, `1_0`, `y`.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
import struct
from decimal import Decimal

GoScalar = str | int | float | bool | None

TAG = "tag:yaml.org,2002:"
STR, BOOL, INT, FLOAT, NULL = (TAG + name for name in ("str", "bool", "int", "float", "null"))
TIMESTAMP, BINARY, MERGE = (TAG + name for name in ("timestamp", "binary", "merge"))

_NAMED: dict[str, GoScalar] = {
    **dict.fromkeys(("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"), True),
    **dict.fromkeys(("n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"), False),
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), math.nan),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), math.inf),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), -math.inf),
}
_HINTED = frozenset("yYnNtTfFoO~+-.0123456789")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_INTEGER = re.compile(r"([-+]?)(?:0[xX]([0-9a-fA-F]+)|0[bB]([01]+)|0[oO]([0-7]+)|0([0-7]*)|([1-9][0-9]*))")
_BINARY_SIGN_INSIDE = re.compile(r"0b([-+])([01]{1,63})")
_INT64_MIN, _UINT64_MAX = -(2**63), 2**64 - 1


class ScalarRefused(ValueError):
    """The library refuses the scalar under its explicit tag."""


def resolve(tag: str | None, plain: bool, text: str) -> GoScalar:
    """What go-yaml v2 makes of a scalar.

    `tag` is the explicit tag in its long form, `plain` whether the parser may resolve it (unquoted and untagged).
    Raises ScalarRefused where value and explicit tag disagree.
    """
    if tag is None:
        return _untagged(text) if plain else text
    if tag == BINARY:
        return _binary(text)
    if tag == STR or tag not in (BOOL, INT, FLOAT, NULL, TIMESTAMP):
        return text
    if tag == TIMESTAMP:
        raise ScalarRefused("an explicit !!timestamp has no place in a CDI spec")
    value = _untagged(text)
    found = _tag_of(value)
    if tag == FLOAT and found == INT and isinstance(value, int):
        return float(value)
    if found != tag:
        raise ScalarRefused(f"cannot decode `{text}` as {tag.replace(TAG, '!!')}")
    return value


def _untagged(text: str) -> GoScalar:
    if text == "":
        return None
    if text[0] not in _HINTED:
        return text
    if text in _NAMED:
        return _NAMED[text]
    first = text[0]
    if first == ".":
        return _float(text, text)
    if first in "+-0123456789":
        return _number(text)
    return text


def _number(text: str) -> GoScalar:
    plain = text.replace("_", "")
    integer = _INTEGER.fullmatch(plain)
    if integer is not None:
        value = _integer(integer)
        # an unsigned number beyond int64 is tried as uint64, which takes no sign
        if _INT64_MIN <= value < 2**63 or (value <= _UINT64_MAX and value > 0 and not integer[1]):
            return value
    signed = _BINARY_SIGN_INSIDE.fullmatch(plain)
    if signed is not None:
        return int(signed[1] + signed[2], 2)
    return _float(plain, text)


def _integer(match: re.Match[str]) -> int:
    sign, hexadecimal, binary, octal, old_octal, decimal = match.groups()
    if hexadecimal is not None:
        value = int(hexadecimal, 16)
    elif binary is not None:
        value = int(binary, 2)
    elif octal is not None:
        value = int(octal, 8)
    elif old_octal is not None:
        value = int(old_octal or "0", 8)
    else:
        # beyond 20 digits it fits no integer type; int() of a very long text would be refused by Python itself
        value = int(decimal) if len(decimal) <= 20 else 2**65
    return -value if sign == "-" else value


def _float(plain: str, text: str) -> GoScalar:
    if _FLOAT.fullmatch(plain) is None:
        return text
    value = float(plain)
    return text if math.isinf(value) else value


def _binary(text: str) -> str:
    try:
        return base64.b64decode(text.replace("\n", "").replace("\r", ""), validate=True).decode(errors="replace")
    except (binascii.Error, ValueError) as error:
        raise ScalarRefused("!!binary value contains invalid base64 data") from error


def _tag_of(value: GoScalar) -> str:
    if value is None:
        return NULL
    if isinstance(value, bool):
        return BOOL
    if isinstance(value, int):
        return INT
    return FLOAT if isinstance(value, float) else STR


def as_text(value: str | int | float | bool) -> str:
    """The text that a string field gets of a resolved scalar."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int) else _float32_text(value)


def _float32_text(value: float) -> str:
    """Go's strconv.FormatFloat(value, 'g', -1, 32): shortest digits that give the same float32."""
    if math.isnan(value):
        return "NaN"
    try:
        (single,) = struct.unpack("f", struct.pack("f", value))
    except OverflowError:
        single = math.copysign(math.inf, value)
    if math.isinf(single):
        return "+Inf" if single > 0 else "-Inf"
    for precision in range(9):
        digits = f"{single:.{precision}e}"
        if struct.unpack("f", struct.pack("f", float(digits)))[0] == single:
            break
    mantissa, exponent = digits.split("e")
    power = int(exponent)
    if -4 <= power < 6:
        return format(Decimal(digits), "f")
    return f"{mantissa}e{'-' if power < 0 else '+'}{abs(power):02d}"


def as_integer(value: int | float) -> int | None:
    """The integer that Go's encoding/json reads from a number's JSON form, None if that has a point or exponent."""
    if isinstance(value, int):
        return value
    if math.isinf(value) or math.isnan(value) or not value.is_integer() or abs(value) >= 1e21:
        return None
    return int(Decimal(repr(value)))
