"""Additions to a YAML document as edits of its text: what is not touched keeps every byte, comments too.

The edits come from the positions that the parser reports. Where a place cannot be edited so (it is reached through an
alias, or stands in an unusual form), CannotEdit is raised, and the caller writes the document anew.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field

import yaml

from talos_gpu.talos.yaml_nodes import comparable, is_null, places


class CannotEdit(Exception):
    """The text has a form that is not edited in place."""


@dataclass(slots=True)
class Edits:
    """Edits of `text`, gathered by `merge` and applied together."""

    text: str
    step: int
    """Columns of one level of indentation."""
    _edits: list[tuple[int, int, str]] = field(default_factory=list)

    def applied(self) -> str:
        """Return the text with all edits; of two at one place the one that was gathered first comes first."""
        text = self.text
        for start, end, new in sorted(reversed(self._edits), key=lambda edit: (edit[0], edit[1]), reverse=True):
            text = text[:start] + new + text[end:]
        return text

    def merge(self, into: yaml.MappingNode, addition: yaml.MappingNode) -> None:
        """Gather the edits that merge `addition` into the mapping `into` of the text."""
        where, missing = places(into), []
        for key, value in addition.value:
            if key.value not in where:
                missing.append((key, value))
                continue
            present_key, present = into.value[where[key.value]]
            self._own(present_key, present)
            if isinstance(present, yaml.MappingNode) and isinstance(value, yaml.MappingNode) and present.value:
                self.merge(present, value)
            elif isinstance(present, yaml.SequenceNode) and isinstance(value, yaml.SequenceNode) and present.value:
                self._extend(present, value)
            elif is_null(present) or not present.value:
                self._fill(into, present_key, present, value)
            elif comparable(present) != comparable(value):
                self._replace(into, present_key, present, value)
        if missing:
            self._add_pairs(into, missing)

    def _add_pairs(self, into: yaml.MappingNode, pairs: list[tuple[yaml.Node, yaml.Node]]) -> None:
        last_key, last = into.value[-1]
        self._own(last_key, last)
        if into.flow_style:
            flow = _emitted(yaml.MappingNode(into.tag, pairs, flow_style=True), self.step, flow=True)
            self._insert(self._flow_end(last_key, last), f", {flow[1:-1]}")
            return
        block = _emitted(yaml.MappingNode(into.tag, pairs, flow_style=False), self.step)
        self._add_lines(self._end(last), _shifted(block, into.value[0][0].start_mark.column))

    def _extend(self, present: yaml.SequenceNode, value: yaml.SequenceNode) -> None:
        by_path = {path: item for item in present.value if (path := _path(item))}
        fresh = []
        for item in value.value:
            known = by_path.get(_path(item) or "")
            if isinstance(known, yaml.MappingNode) and isinstance(item, yaml.MappingNode):
                if known.start_mark.index < present.start_mark.index:
                    raise CannotEdit
                self.merge(known, item)
            else:
                fresh.append(item)
        if not fresh:
            return
        last = present.value[-1]
        if last.start_mark.index < present.start_mark.index:
            raise CannotEdit
        if present.flow_style:
            flow = _emitted(yaml.SequenceNode(present.tag, fresh, flow_style=True), self.step, flow=True)
            self._insert(last.end_mark.index, f", {flow[1:-1]}")
            return
        if self.text[present.start_mark.index] != "-":
            raise CannotEdit
        block = _emitted(yaml.SequenceNode(present.tag, fresh, flow_style=False), self.step)
        self._add_lines(self._end(last), _shifted(block, present.start_mark.column))

    def _fill(self, into: yaml.MappingNode, key: yaml.Node, present: yaml.Node, value: yaml.Node) -> None:
        """Put `value` where nothing, null or an empty collection stands."""
        if into.flow_style or isinstance(value, yaml.ScalarNode):
            self._replace(into, key, present, value)
            return
        start, end = present.start_mark.index, present.end_mark.index
        while start < end and self.text[start - 1] == " ":
            start -= 1
        self._edits.append((start, end, ""))
        block = _emitted(value, self.step)
        self._add_lines(self._line_end(end), _shifted(block, key.start_mark.column + self.step))

    def _replace(self, into: yaml.MappingNode, key: yaml.Node, present: yaml.Node, value: yaml.Node) -> None:
        start, end = present.start_mark.index, present.end_mark.index
        if not (isinstance(present, yaml.ScalarNode) or not present.value) or self.text[key.end_mark.index] != ":":
            raise CannotEdit
        is_block = isinstance(present, yaml.ScalarNode) and present.style in {"|", ">"}
        rest = "" if is_block else self.text[end : self._line_end(end)].strip()
        if into.flow_style or rest:
            space = "" if self.text[start - 1].isspace() else " "
            self._edits.append((start, end, space + _emitted(value, self.step, flow=True)))
            return
        pair = _emitted(yaml.MappingNode(into.tag, [(key, value)], flow_style=False), self.step)
        shifted = _shifted(pair, key.start_mark.column).lstrip(" ")
        self._edits.append((key.start_mark.index, end, shifted if is_block else shifted.removesuffix("\n")))

    def _own(self, key: yaml.Node, value: yaml.Node) -> None:
        """Refuse a value that stands elsewhere in the text, behind an anchor."""
        if value.start_mark.index < key.end_mark.index:
            raise CannotEdit

    def _end(self, node: yaml.Node) -> int:
        """Where the line after the node's content begins, comments behind it left out."""
        if isinstance(node, yaml.CollectionNode) and not node.flow_style:
            last = node.value[-1]
            if isinstance(last, tuple):
                self._own(*last)
                return self._end(last[1])
            if last.start_mark.index < node.start_mark.index:
                raise CannotEdit
            return self._end(last)
        if isinstance(node, yaml.ScalarNode) and node.style in {"|", ">"}:
            return int(node.end_mark.index)
        return self._line_end(node.end_mark.index)

    def _flow_end(self, key: yaml.Node, value: yaml.Node) -> int:
        return int(max(key.end_mark.index, value.end_mark.index))

    def _line_end(self, index: int) -> int:
        newline = self.text.find("\n", index)
        return len(self.text) if newline < 0 else newline + 1

    def _add_lines(self, index: int, lines: str) -> None:
        starts_line = index == 0 or self.text[index - 1] == "\n"
        self._insert(index, lines if starts_line else "\n" + lines.removesuffix("\n"))

    def _insert(self, index: int, new: str) -> None:
        self._edits.append((index, index, new))


def step_of(root: yaml.MappingNode) -> int:
    """Return how many columns a level of the document is indented: as its first nested mapping, else 2."""
    for key, value in root.value:
        if isinstance(value, yaml.MappingNode) and not value.flow_style and value.value:
            step = value.value[0][0].start_mark.column - key.start_mark.column
            return step if 2 <= step <= 8 else 2
    return 2


def written(node: yaml.Node, step: int) -> str:
    """Return the node's text, written anew."""
    return _emitted(node, step)


def _path(item: yaml.Node) -> str:
    """The path of an entry of machine.files; "" for anything else."""
    if isinstance(item, yaml.MappingNode) and "path" in (where := places(item)):
        value = item.value[where["path"]][1]
        return str(value.value) if isinstance(value, yaml.ScalarNode) else ""
    return ""


def _emitted(node: yaml.Node, step: int, *, flow: bool = False) -> str:
    if flow:
        text = yaml.serialize(_flow(node), Dumper=_Indented, width=sys.maxsize, allow_unicode=True)
        return text.removesuffix("\n").removesuffix("\n...")
    return yaml.serialize(node, Dumper=_Indented, indent=step, width=sys.maxsize, allow_unicode=True)


def _flow(node: yaml.Node) -> yaml.Node:
    """The node in flow form, which has no block scalars."""
    match node:
        case yaml.MappingNode():
            return yaml.MappingNode(node.tag, [(_flow(k), _flow(v)) for k, v in node.value], flow_style=True)
        case yaml.SequenceNode():
            return yaml.SequenceNode(node.tag, [_flow(item) for item in node.value], flow_style=True)
        case _:
            return yaml.ScalarNode(node.tag, node.value, style='"' if "\n" in node.value else node.style)


def _shifted(block: str, columns: int) -> str:
    return "".join(" " * columns + line if line.strip() else line for line in block.splitlines(keepends=True))


class _Indented(yaml.SafeDumper):
    """Writes nodes as they are."""
