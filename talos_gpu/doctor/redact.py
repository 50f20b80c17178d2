"""Taking secrets out of evidence before it is saved."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from talos_gpu.doctor.bundle import Bundle
from talos_gpu.doctor.objects import labels, wants_gpu

HIDDEN = "(redacted)"
_ENV = re.compile(r"NVIDIA_\w+|CUDA_VISIBLE_DEVICES|ffmpegVersion|server(?:URL|IP|Port)|node(?:Name|Type)|inContainer")
"""Names of env whose values checks read or people need; every other value is hidden, whatever its name."""
_NAME = r"(?:key|token|secret|pass(?!ed\b|ing\b|th?r)|pwd|credential|auth|cookie|jwt|private)"
_SECRET_KEY = re.compile(rf"^(?!key$|secretName$|.*KeyRef$).*{_NAME}", re.IGNORECASE)
"""Not `key`: tolerations and taints have one."""
_SECRET_FLAG = re.compile(rf"^(?:--?[\w-]*{_NAME}[\w-]*|-u|--user|--proxy-user)$", re.IGNORECASE)
"""An argument whose next one is the secret."""
# patterns begin with what is rare and gaps have an end: a log of any length is read in one pass
_QUOTED = r"\\*\"[^\"\n]*\"|\\*'[^'\n]*'"
_PEM = re.compile(r"-----BEGIN [A-Z0-9 ]+-----.*?-----END [A-Z0-9 ]+-----", re.DOTALL)
_PAIR = re.compile(
    rf"(?P<name>{_NAME}[\w.-]{{0,64}}(?:\\*[\"'])?\s*[:=]\s*)(?P<value>{_QUOTED}|[^\s,;&]+)",
    re.IGNORECASE,
)
_FLAG = re.compile(
    rf"(?P<name>(?<!\S)--?[\w-]{{0,64}}?{_NAME}[\w-]{{0,64}}\s+)(?P<value>{_QUOTED}|[^\s,;&-][^\s,;&]*)", re.IGNORECASE
)
_USER = re.compile(rf"(?P<name>(?<!\S)(?:-u|--user|--proxy-user)[\s=]+)(?P<value>{_QUOTED}|[^\s:]+:\S+)")
_BARE = re.compile(
    r"(?P<name>(?:api[_-]?key|token|password|passwd|passphrase|secret|jwt)\s+)"
    rf"(?P<value>{_QUOTED}|(?=\S*\d)[^\s,;&]{{6,}}|[^\s,;&/]{{16,}})",
    re.IGNORECASE,
)
"""`apiKey tapi_1234` of a log; a word that could be a word (`token expired`) stays."""
_BEARER = re.compile(r"\b(Bearer|Basic) [A-Za-z0-9+/._~=-]{6,}", re.IGNORECASE)
_URL_USER = re.compile(r"(\b\w{1,16}://)[^\s/@]+@")
_KNOWN = re.compile(
    r"\beyJ[\w-]{10,}(?:\.[\w-]+)*|\b(?:gh[pousr]_|github_pat_|glpat-|xox[abprs]-|AKIA|pul-)[A-Za-z0-9_-]{10,}"
)
"""JSON web tokens and the prefixes by which some services' tokens are known."""
_BASE64 = re.compile(r"(?<![\w/.])[A-Za-z0-9+/]{80,}={0,2}(?![\w/])")
_NOISE = ("managedFields", "kubectl.kubernetes.io/last-applied-configuration")
_OURS = "talos-nvidia-cdi/"


def text(value: str) -> str:
    """A text without PEM blocks, bearer tokens, users in URLs, values of telling names, long base64."""
    value = _PEM.sub(HIDDEN, value)
    value = _BEARER.sub(rf"\1 {HIDDEN}", value)
    value = _URL_USER.sub(rf"\1{HIDDEN}@", value)
    for pattern in (_PAIR, _FLAG, _USER, _BARE):
        value = pattern.sub(lambda match: match["name"] + HIDDEN, value)
    return _BASE64.sub(HIDDEN, _KNOWN.sub(HIDDEN, value))


def _value(value: Any, *, commands: bool) -> Any:  # noqa: ANN401 (JSON)
    match value:
        case {"name": str(name), "value": str(told)} if told:
            return {**value, "value": text(told) if _ENV.fullmatch(name) else HIDDEN}
        case dict():
            return {key: _field(key, inner, commands=commands) for key, inner in value.items() if key not in _NOISE}
        case list():
            return [_value(inner, commands=commands) for inner in value]
        case str():
            return text(value)
        case _:
            return value


def _field(key: str, value: Any, *, commands: bool) -> Any:  # noqa: ANN401 (JSON)
    if isinstance(value, str) and value and _SECRET_KEY.search(key):
        return HIDDEN
    if key in ("command", "args") and isinstance(value, list):
        return _arguments(value) if commands else [HIDDEN]
    if key == "annotations" and isinstance(value, dict):
        return {name: text(str(told)) if name.startswith(_OURS) else HIDDEN for name, told in value.items()}
    return _value(value, commands=commands)


def _arguments(words: Sequence[Any]) -> list[Any]:
    """A command without what follows a flag that wants a secret."""
    before = ("", *map(str, words))
    return [HIDDEN if _SECRET_FLAG.match(flag) else text(str(word)) for flag, word in zip(before, words, strict=False)]


def _pods(document: Any) -> Any:  # noqa: ANN401 (JSON)
    """Commands stay of GPU pods and of ours only: nobody else's tell anything of the GPU."""
    if not isinstance(document, dict) or not isinstance(items := document.get("items"), list):
        return _value(document, commands=False)
    rest = _value({key: value for key, value in document.items() if key != "items"}, commands=False)
    return {**rest, "items": [_value(pod, commands=isinstance(pod, dict) and _is_told(pod)) for pod in items]}


def _is_told(pod: Mapping[str, Any]) -> bool:
    try:
        return wants_gpu(pod) or str(labels(pod).get("app")).startswith("nvidia-cdi")
    except (AttributeError, KeyError, TypeError):
        return False  # of another form than a pod's


def redacted(bundle: Bundle) -> Bundle:
    """The bundle without secrets; keys and structure stay, so that a diagnosis of it is the same."""
    return Bundle({key: _redacted(key, value) for key, value in bundle.texts.items()}, _reasons(bundle.unread))


def _redacted(key: str, value: str) -> str:
    if not key.endswith(".json"):
        return text(value)
    try:
        document = json.loads(value)
        return json.dumps(_pods(document) if key == "cluster/pods.json" else _value(document, commands=False), indent=1)
    except json.JSONDecodeError:
        return text(value)


def _reasons(unread: Mapping[str, str]) -> dict[str, str]:
    return {key: text(reason) for key, reason in unread.items()}
