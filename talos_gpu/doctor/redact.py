"""Taking secrets out of evidence before it is saved."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from talos_gpu.doctor.bundle import Bundle

HIDDEN = "(redacted)"
_SECRET_NAME = re.compile(
    r"^(?!key$|secretName$|.*KeyRef$).*(?:key|token|secret|password|passwd|credential|auth|cookie|private)",
    re.IGNORECASE,
)
"""Not `key`: tolerations and taints have one."""
_PEM = re.compile(r"-----BEGIN [A-Z0-9 ]+-----.*?-----END [A-Z0-9 ]+-----", re.DOTALL)
_PAIR = re.compile(
    r""
    r""
    r"(?P<name>[\w.-]*(?:key|token|secret|password|passwd|credential|auth)[\w.-]*\"?\s*[:=]\s*)(?P<value>\"[^\"\n]*\"|[^\s,;&]+)",
    re.IGNORECASE,
)
_BEARER = re.compile(r"(Bearer|Basic) [A-Za-z0-9+/._=-]{8,}")
_URL_USER = re.compile(r"(\w+://)[^\s/@:]+:[^\s/@]+@")
_BASE64 = re.compile(r"(?<![\w/.])[A-Za-z0-9+/]{80,}={0,2}(?![\w/])")
_NOISE = ("managedFields", "kubectl.kubernetes.io/last-applied-configuration")


def text(value: str) -> str:
    """A text without PEM blocks, bearer tokens, users in URLs, values of telling names, long base64."""
    value = _PEM.sub(HIDDEN, value)
    value = _BEARER.sub(rf"\1 {HIDDEN}", value)
    value = _URL_USER.sub(rf"\1{HIDDEN}@", value)
    value = _PAIR.sub(lambda match: match["name"] + HIDDEN, value)
    return _BASE64.sub(HIDDEN, value)


def _value(value: Any) -> Any:  # noqa: ANN401 (JSON)
    match value:
        case {"name": str(name), "value": str()} if _SECRET_NAME.search(name):
            return {**value, "value": HIDDEN}
        case dict():
            return {
                key: HIDDEN if isinstance(inner, str) and inner and _SECRET_NAME.search(key) else _value(inner)
                for key, inner in value.items()
                if key not in _NOISE
            }
        case list():
            return [_value(inner) for inner in value]
        case str():
            return text(value)
        case _:
            return value


def redacted(bundle: Bundle) -> Bundle:
    """The bundle without secrets; keys and structure stay, so that a diagnosis of it is the same."""
    return Bundle({key: _redacted(key, value) for key, value in bundle.texts.items()}, _reasons(bundle.unread))


def _redacted(key: str, value: str) -> str:
    if not key.endswith(".json"):
        return text(value)
    try:
        return json.dumps(_value(json.loads(value)), indent=1)
    except json.JSONDecodeError:
        return text(value)


def _reasons(unread: Mapping[str, str]) -> dict[str, str]:
    return {key: text(reason) for key, reason in unread.items()}
