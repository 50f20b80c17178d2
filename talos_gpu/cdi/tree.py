"""The YAML of a spec as a tree with places, read as go-yaml v2 reads it.

Only the first document counts (goyaml.v2/decode.go, parser.document); a JSON spec takes the same way.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NoReturn

import yaml

from talos_gpu.cdi.errors import SpecFault

# the deepest legal field is at 7; go-yaml allows more, but only where the decoder then refuses the type
DEEPEST = 64
PARSER = "sigs.k8s.io/yaml goyaml.v2/parserc.go"
DECODER = "sigs.k8s.io/yaml goyaml.v2/decode.go"
_COLON_IN_FLOW = re.compile(r":[,?\[\]{}]")
_TAG_IN_FLOW = re.compile(r"(?:&\S+\s+)?!\S*[,\[\]{}]")
_ESCAPED_SLASH = re.compile(r"(?<!\\)(?:\\\\)*\\/")
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(slots=True)
class Node:
    """A value and where it stands: `line` and `column` from 1, `start` and `end` as offsets in characters."""

    line: int
    column: int
    start: int
    end: int
    tag: str | None
    anchored: bool


@dataclass(slots=True)
class Scalar(Node):
    """A scalar; `plain` says that its type follows from its text, `style` is YAML's indicator ('' for plain)."""

    value: str
    plain: bool
    style: str


@dataclass(slots=True)
class Sequence(Node):
    """A list."""

    items: list[AnyNode] = field(default_factory=list)


@dataclass(slots=True)
class Mapping(Node):
    """A mapping, in the order of the text; keys may repeat and may be anything."""

    items: list[tuple[AnyNode, AnyNode]] = field(default_factory=list)


@dataclass(slots=True)
class Alias(Node):
    """A use of an anchor; `target` is what it stood for at that place."""

    name: str
    target: AnyNode


AnyNode = Scalar | Sequence | Mapping | Alias


class Unreadable(Exception):
    """The text is no YAML that the library would read; `fault` says where."""

    def __init__(self, fault: SpecFault) -> None:
        super().__init__(str(fault))
        self.fault = fault


def compose(text: str) -> AnyNode | None:
    """The root node of the first document, None where there is none. Raises Unreadable."""
    try:
        return _Composer(text).root()
    except yaml.MarkedYAMLError as error:
        mark: Any = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)
        message = " ".join(part for part in (error.context, error.problem) if part)
        raise Unreadable(SpecFault(line, column, "", "yaml-syntax", message, PARSER)) from error
    except UnicodeEncodeError as error:
        raise Unreadable(SpecFault(1, 1, "", "yaml-syntax", "text that is no Unicode", PARSER)) from error
    except yaml.YAMLError as error:
        # the one error without a mark is the reader's; its position counts bytes
        reason = str(getattr(error, "reason", error))
        raise Unreadable(SpecFault(*_place(text, error), "", "yaml-syntax", reason, PARSER)) from error


def _place(text: str, error: yaml.YAMLError) -> tuple[int, int]:
    before = text.encode()[: getattr(error, "position", 0) or 0].decode(errors="ignore")
    return before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1


class _Composer:
    """libyaml 0.2.5 reads some texts otherwise than go-yaml's older port of it; those are refused, as there."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.events: Iterator[Any] = yaml.parse(text, Loader=_Loader)
        # libyaml does not count a byte order mark
        self.skipped = 1 if text.startswith("\ufeff") else 0
        self.anchors: dict[str, AnyNode] = {}

    def root(self) -> AnyNode | None:
        for event in self.events:
            if isinstance(event, yaml.DocumentStartEvent):
                if event.version not in (None, (1, 1)):
                    self._refuse(1, 1, "found incompatible YAML document")
                node = self.node(next(self.events), 0, flow=False)
                next(self.events)
                return node
        return None

    def node(self, event: yaml.Event, depth: int, *, flow: bool) -> AnyNode:
        start: Any = event.start_mark
        end: Any = event.end_mark
        place = (start.line + 1, start.column + 1, start.index + self.skipped, end.index + self.skipped)
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in self.anchors:
                raise Unreadable(
                    SpecFault(*place[:2], "", "yaml-alias", f"unknown anchor '{event.anchor}' referenced", DECODER)
                )
            return Alias(*place, None, False, event.anchor, self.anchors[event.anchor])
        if depth > DEEPEST:
            raise Unreadable(SpecFault(*place[:2], "", "too-deep", f"nested deeper than {DEEPEST} levels", DECODER))
        name: str | None = getattr(event, "anchor", None)
        tag: str | None = getattr(event, "tag", None)
        if flow and tag is not None and _TAG_IN_FLOW.match(self.text, place[2]):
            self._refuse(*place[:2], "go-yaml takes a flow indicator behind a tag as part of the tag")
        if isinstance(event, yaml.ScalarEvent):
            if flow and not event.style and ("?" in event.value or _COLON_IN_FLOW.match(self.text, place[3])):
                self._refuse(*place[:2], "'?', or ':' before a flow indicator, in a plain scalar of a flow collection")
            if event.style == '"' and "/" in event.value and _ESCAPED_SLASH.search(self.text[place[2] : place[3]]):
                self._refuse(*place[:2], "found unknown escape character \\/")
            scalar = Scalar(*place, event.tag, name is not None, event.value, event.implicit[0], event.style or "")
            self._anchor(name, scalar)
            return scalar
        flow = bool(getattr(event, "flow_style", False))
        if isinstance(event, yaml.SequenceStartEvent):
            sequence = Sequence(*place, tag, name is not None)
            self._anchor(name, sequence)
            for inner in self.events:
                if isinstance(inner, yaml.SequenceEndEvent):
                    return sequence
                sequence.items.append(self.node(inner, depth + 1, flow=flow))
        mapping = Mapping(*place, tag, name is not None)
        self._anchor(name, mapping)
        for inner in self.events:
            if isinstance(inner, yaml.MappingEndEvent):
                break
            key = self.node(inner, depth + 1, flow=flow)
            mapping.items.append((key, self.node(next(self.events), depth + 1, flow=flow)))
        return mapping

    def _refuse(self, line: int, column: int, message: str) -> NoReturn:
        raise Unreadable(SpecFault(line, column, "", "yaml-syntax", message, PARSER))

    def _anchor(self, name: str | None, node: AnyNode) -> None:
        if name is not None:
            self.anchors[name] = node
