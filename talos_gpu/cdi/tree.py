"""The YAML of a spec as a tree with places, read as go-yaml v2 reads it.

Only the first document counts (goyaml.v2/decode.go, parser.document); a JSON spec takes the same way.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from collections.abc import Mapping as MappingOf
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
_MARKER = re.compile(r"^(?:---|\.\.\.)(?:\s|$)", re.MULTILINE)
Place = tuple[int, int, int, int]
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Node:
    """A value and where it stands: `line` and `column` from 1, `start` and `end` as offsets in characters.

    Not a dataclass: a large spec has a million of them, and making the class costs as much as reading a small spec.
    """

    __slots__ = ("anchored", "column", "end", "line", "start", "tag")

    def __init__(self, place: Place, tag: str | None, anchored: bool) -> None:
        self.line, self.column, self.start, self.end = place
        self.tag = tag
        self.anchored = anchored


class Scalar(Node):
    """A scalar; `plain` says that its type follows from its text, `style` is YAML's indicator ('' for plain)."""

    __slots__ = ("plain", "style", "value")

    def __init__(self, place: Place, tag: str | None, anchored: bool, *, value: str, plain: bool, style: str) -> None:
        super().__init__(place, tag, anchored)
        self.value = value
        self.plain = plain
        self.style = style


class Sequence(Node):
    """A list."""

    __slots__ = ("items",)

    def __init__(self, place: Place, tag: str | None, anchored: bool) -> None:
        super().__init__(place, tag, anchored)
        self.items: list[AnyNode] = []


class Mapping(Node):
    """A mapping, in the order of the text; keys may repeat and may be anything."""

    __slots__ = ("items",)

    def __init__(self, place: Place, tag: str | None, anchored: bool) -> None:
        super().__init__(place, tag, anchored)
        self.items: list[tuple[AnyNode, AnyNode]] = []


class Alias(Node):
    """A use of an anchor; `target` is what it stood for at that place."""

    __slots__ = ("name", "target")

    def __init__(self, place: Place, name: str, target: AnyNode) -> None:
        super().__init__(place, None, False)
        self.name = name
        self.target = target


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


def same_but(root: AnyNode, changed: MappingOf[int, str], text: str) -> bool:
    """Whether a text has the tree of another one, with other values of the scalars in `changed` (by `start`)."""
    events = iter(yaml.parse(text, Loader=_Loader))
    try:
        while not isinstance(next(events), yaml.DocumentStartEvent):
            pass
        return _same(root, changed, events) and isinstance(next(events), yaml.DocumentEndEvent)
    except yaml.YAMLError:
        return False


def _same(node: AnyNode, changed: MappingOf[int, str], events: Iterator[Any]) -> bool:
    event = next(events)
    if isinstance(node, Alias):
        return isinstance(event, yaml.AliasEvent) and event.anchor == node.name
    anchored = getattr(event, "anchor", None) is not None
    if anchored != node.anchored or getattr(event, "tag", None) != node.tag:
        return False
    if isinstance(node, Scalar):
        wanted = changed.get(node.start, node.value)
        return isinstance(event, yaml.ScalarEvent) and (event.value, event.implicit[0]) == (wanted, node.plain)
    if isinstance(node, Sequence):
        inside = isinstance(event, yaml.SequenceStartEvent) and all(_same(item, changed, events) for item in node.items)
        return inside and isinstance(next(events), yaml.SequenceEndEvent)
    inside = isinstance(event, yaml.MappingStartEvent) and all(
        _same(key, changed, events) and _same(value, changed, events) for key, value in node.items
    )
    return inside and isinstance(next(events), yaml.MappingEndEvent)


def second_document(text: str) -> int:
    """The line, from 1, where a second document starts, 0 if there is none."""
    if _MARKER.search(text, 1) is None:
        return 0
    starts = 0
    try:
        for event in yaml.parse(text, Loader=_Loader):
            if isinstance(event, yaml.DocumentStartEvent):
                starts += 1
                if starts == 2:
                    mark: Any = event.start_mark
                    return int(mark.line) + 1
    except yaml.MarkedYAMLError as error:
        # what comes behind the first document need not be YAML
        place: Any = error.problem_mark
        return int(place.line) + 1 if starts == 1 and place is not None else 0
    return 0


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
            return Alias(place, event.anchor, self.anchors[event.anchor])
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
            scalar = Scalar(
                place,
                event.tag,
                name is not None,
                value=event.value,
                plain=event.implicit[0],
                style=event.style or "",
            )
            self._anchor(name, scalar)
            return scalar
        flow = bool(getattr(event, "flow_style", False))
        if isinstance(event, yaml.SequenceStartEvent):
            sequence = Sequence(place, tag, name is not None)
            self._anchor(name, sequence)
            for inner in self.events:
                if isinstance(inner, yaml.SequenceEndEvent):
                    return sequence
                sequence.items.append(self.node(inner, depth + 1, flow=flow))
        mapping = Mapping(place, tag, name is not None)
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
