"""Additions to a YAML document as edits of its text: what is not touched keeps every byte, comments too.

The edits come from the positions that the parser reports. Where a place cannot be edited so (it is reached through an
alias, or stands in an unusual form), CannotEdit is raised, and the caller writes the document anew.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import yaml

from talos_gpu.talos.yaml_nodes import comparable, entry_path, is_null, places
from talos_gpu.talos.yaml_write import Style, in_flow, shifted, written


class CannotEdit(Exception):
    """The text has a form that is not edited in place."""


@dataclass(slots=True)
class Edits:
    """Edits of `text`, gathered by `merge` and applied together."""

    text: str
    style: Style
    _edits: list[tuple[int, int, str]] = field(default_factory=list)

    def applied(self) -> str:
        """Return the text with all edits; of two at one place the one that was gathered first comes first."""
        done, pieces = 0, []
        for start, end, new in sorted(self._edits, key=lambda edit: (edit[0], edit[1])):
            pieces += [self.text[done:start], new]
            done = end
        return "".join([*pieces, self.text[done:]])

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
            flow = in_flow(yaml.MappingNode(into.tag, pairs))
            self._insert(max(last_key.end_mark.index, last.end_mark.index), f", {flow[1:-1]}")
            return
        block = written(yaml.MappingNode(into.tag, pairs, flow_style=False), self.style)
        self._add_lines(self._end(last), shifted(block, into.value[0][0].start_mark.column))

    def _extend(self, present: yaml.SequenceNode, value: yaml.SequenceNode) -> None:
        by_path = {path: item for item in present.value if (path := entry_path(item))}
        fresh = []
        for item in value.value:
            known = by_path.get(entry_path(item))
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
            flow = in_flow(yaml.SequenceNode(present.tag, fresh))
            self._insert(last.end_mark.index, f", {flow[1:-1]}")
            return
        if self.text[present.start_mark.index] != "-":
            raise CannotEdit
        block = written(yaml.SequenceNode(present.tag, fresh, flow_style=False), self.style)
        self._add_lines(self._end(last), shifted(block, present.start_mark.column))

    def _fill(self, into: yaml.MappingNode, key: yaml.Node, present: yaml.Node, value: yaml.Node) -> None:
        """Put `value` where nothing, null or an empty collection stands."""
        if into.flow_style or isinstance(value, yaml.ScalarNode):
            self._replace(into, key, present, value)
            return
        start, end = present.start_mark.index, present.end_mark.index
        while start < end and self.text[start - 1] == " ":
            start -= 1
        self._edits.append((start, end, ""))
        block = written(value, self.style)
        self._add_lines(self._line_end(end), shifted(block, key.start_mark.column + self.style.step))

    def _replace(self, into: yaml.MappingNode, key: yaml.Node, present: yaml.Node, value: yaml.Node) -> None:
        start, end = present.start_mark.index, present.end_mark.index
        if not (isinstance(present, yaml.ScalarNode) or not present.value) or self.text[key.end_mark.index] != ":":
            raise CannotEdit
        is_block = isinstance(present, yaml.ScalarNode) and present.style in {"|", ">"}
        rest = "" if is_block else self.text[end : self._line_end(end)].strip()
        if into.flow_style or rest:
            space = "" if self.text[start - 1].isspace() else " "
            self._edits.append((start, end, space + in_flow(value)))
            return
        style = self._block_style(key, start, end) if is_block else self.style
        pair = written(yaml.MappingNode(into.tag, [(key, value)], flow_style=False), style)
        lines = shifted(pair, key.start_mark.column).lstrip(" ")
        self._edits.append((key.start_mark.index, end, lines if is_block else lines.removesuffix("\n")))

    def _block_style(self, key: yaml.Node, start: int, end: int) -> Style:
        """The columns that a block scalar's text is indented by, so that its lines stay where they are."""
        content = next((line for line in self.text[start:end].splitlines()[1:] if line.strip()), "")
        columns = len(content) - len(content.lstrip(" ")) - key.start_mark.column
        return Style(columns) if 2 <= columns <= 9 else self.style

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

    def _line_end(self, index: int) -> int:
        newline = self.text.find("\n", index)
        return len(self.text) if newline < 0 else newline + 1

    def _add_lines(self, index: int, lines: str) -> None:
        starts_line = index == 0 or self.text[index - 1] == "\n"
        self._insert(index, lines if starts_line else "\n" + lines.removesuffix("\n"))

    def _insert(self, index: int, new: str) -> None:
        self._edits.append((index, index, new))
