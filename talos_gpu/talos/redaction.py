"""What may be secret is taken out before a text is shown."""

from __future__ import annotations

import re
from collections.abc import Iterator

import yaml

from talos_gpu.talos.part import PART_PATH
from talos_gpu.talos.yaml_nodes import comparable_key, documents, entry_path, written_out

REDACTED = "(redacted)"

_SECRET_LINE = re.compile(
    r"^([-+ ]?\s*(?:- )?[\"']?[\w.-]*(?:key|token|secret|password|passwd|auth|crt|ca)[\"']?\s*[:=]\s*)\S.*$",
    re.IGNORECASE | re.MULTILINE,
)
_SECRET_INLINE = re.compile(
    r"([\w.-]*(?:key|token|secret|password|passwd|auth)[\"']?\s*[:=]\s*)(\"(?:[^\"\\]|\\.)*\"|'[^']*'|[^\s,}\]]+)",
    re.IGNORECASE,
)
_LONG_BASE64 = re.compile(r"[A-Za-z0-9+/]{60,}={0,2}")
_COMMENT = re.compile(r"#[^\n]*")

_SHOWN = (
    ("machine", "type"),
    ("machine", "kernel"),
    ("machine", "udev"),
    ("machine", "nodeLabels"),
    ("machine", "sysctls"),
    ("machine", "files", "path"),
    ("machine", "files", "op"),
    ("machine", "files", "permissions"),
)
"""Where values of the v1alpha1 document are no secrets; everything else is hidden."""
_SHOWN_DOCUMENTS = frozenset((("KernelModuleConfig",), ("UdevRulesConfig",)))
_PLAIN_TAGS = frozenset(("tag:yaml.org,2002:bool", "tag:yaml.org,2002:null"))


def redact(text: str) -> str:
    """Take what may be a secret out of a text without a known form: Talos puts diffs of the config into some answers.

    Of `key: value` and `key = value` the value if the key sounds like a secret, at a line's beginning all of the line;
    and long base64.
    """
    lines = _SECRET_LINE.sub(rf"\1{REDACTED}", text)
    return _LONG_BASE64.sub(REDACTED, _SECRET_INLINE.sub(_hidden, lines))


def _hidden(found: re.Match[str]) -> str:
    return found[0] if found[2].startswith(("(redacted", "{", "[")) else found[1] + REDACTED


def redact_config(text: str, *, lengths: bool = False) -> str:
    """Return a machine config with every value hidden but those of the GPU's own fields, true, false and null.

    Keys stay, comments lose their text, and of the files only the containerd part's content is shown, its secrets by
    `redact`. With `lengths` a hidden value is shown as its length in characters.
    Raises MachineConfigInvalid if it cannot be read.
    """
    spans: dict[int, tuple[int, str]] = {}
    for document in documents(text):
        written_out(document.root)  # refuses aliases without an end
        path = (document.kind,) if document.kind else ()
        for start, end, new, hidden in _spans(text, document.root, path, show=False):
            if start not in spans or REDACTED in new:
                known = lengths and hidden is not None
                spans[start] = (end, new.replace(REDACTED, f"(redacted, {hidden} characters)") if known else new)
    done, pieces = 0, []
    for start, (end, new) in sorted(spans.items()):
        if start >= done:
            pieces += [_COMMENT.sub("# ...", text[done:start]), new]
            done = end
    return "".join([*pieces, _COMMENT.sub("# ...", text[done:])])


_Span = tuple[int, int, str, int | None]


def _spans(text: str, node: yaml.Node, path: tuple[str, ...], *, show: bool) -> Iterator[_Span]:
    """Yield (start, end, what is shown there, length of the value that is hidden) of every scalar."""
    match node:
        case yaml.MappingNode():
            is_part = path == ("machine", "files") and entry_path(node) == PART_PATH
            for key, value in node.value:
                here = (*path, comparable_key(key))
                plain = isinstance(key, yaml.ScalarNode)
                start, end = key.start_mark.index, key.end_mark.index
                yield start, end, text[start:end] if plain else REDACTED, None
                if is_part and here[-1] == "content":
                    yield (*_content(text, value), None)
                else:
                    shown = show or here in _SHOWN or path[:1] in _SHOWN_DOCUMENTS or here[-1] == "kind"
                    yield from _spans(text, value, here, show=shown)
        case yaml.SequenceNode():
            for item in node.value:
                yield from _spans(text, item, path, show=show)
        case yaml.ScalarNode():
            start, end = node.start_mark.index, node.end_mark.index
            if show or node.tag in _PLAIN_TAGS or not node.value:
                yield start, end, text[start:end], None
            else:
                yield start, end, REDACTED + "\n" * text[start:end].endswith("\n"), len(node.value)
        case _:
            raise TypeError(f"not a node: {type(node).__name__}")


def _content(text: str, node: yaml.Node) -> tuple[int, int, str]:
    """The part's text; in quotes, where lines are not seen as lines, it is hidden if it holds any secret."""
    start, end = node.start_mark.index, node.end_mark.index
    if isinstance(node, yaml.ScalarNode) and node.style not in {"|", ">"} and redact(node.value) != node.value:
        return start, end, REDACTED
    return start, end, redact(text[start:end])
