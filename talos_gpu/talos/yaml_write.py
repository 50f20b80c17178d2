"""YAML nodes as text, in the columns of the document that they go into."""

from __future__ import annotations

import sys
from dataclasses import dataclass

import yaml


@dataclass(frozen=True, slots=True)
class Style:
    """How a document is indented, in columns."""

    step: int = 2
    """One level of mappings."""
    list_step: int = 0
    """A list below its key."""

    @classmethod
    def of(cls, root: yaml.MappingNode) -> Style:
        """Return the style of the first nested mapping and the first list under a key, else the default."""
        step, list_step = None, None
        nodes: list[yaml.Node] = [root]
        while nodes and (step is None or list_step is None):
            node = nodes.pop(0)
            if not isinstance(node, yaml.MappingNode) or node.flow_style:
                continue
            for key, value in node.value:
                inside = value.start_mark.column - key.start_mark.column
                if value.start_mark.index < key.end_mark.index or not value.value:
                    continue
                if isinstance(value, yaml.MappingNode) and not value.flow_style:
                    step = step or inside
                    nodes.append(value)
                elif isinstance(value, yaml.SequenceNode) and not value.flow_style and list_step is None:
                    list_step = inside
        return cls(step if step and 2 <= step <= 8 else 2, list_step if list_step and 0 < list_step <= 8 else 0)


def written(node: yaml.Node, style: Style) -> str:
    """Return the node in block form, from column 0, with a line break at its end."""
    match node:
        case yaml.MappingNode() if node.value:
            return "".join(_pair(key, value, style) for key, value in node.value)
        case yaml.SequenceNode() if node.value:
            return "".join(f"- {shifted(written(item, style), 2).lstrip(' ')}" for item in node.value)
        case _:
            return _serialized(node, style.step)


def in_flow(node: yaml.Node) -> str:
    """Return the node in flow form, on one line."""
    return _serialized(_flow(node), 2).removesuffix("\n").removesuffix("\n...")


def shifted(block: str, columns: int) -> str:
    """Return the block with every line that is not empty moved to the right."""
    return "".join(" " * columns + line if line.strip() else line for line in block.splitlines(keepends=True))


def _pair(key: yaml.Node, value: yaml.Node, style: Style) -> str:
    if not (isinstance(value, yaml.CollectionNode) and value.value):
        return _serialized(yaml.MappingNode(_MAP, [(key, value)], flow_style=False), style.step)
    columns = style.step if isinstance(value, yaml.MappingNode) else style.list_step
    return f"{in_flow(key)}:\n{shifted(written(value, style), columns)}"


def _flow(node: yaml.Node) -> yaml.Node:
    """The node in flow form, which has no block scalars."""
    match node:
        case yaml.MappingNode():
            return yaml.MappingNode(node.tag, [(_flow(k), _flow(v)) for k, v in node.value], flow_style=True)
        case yaml.SequenceNode():
            return yaml.SequenceNode(node.tag, [_flow(item) for item in node.value], flow_style=True)
        case yaml.ScalarNode():
            return yaml.ScalarNode(node.tag, node.value, style='"' if "\n" in node.value else node.style)
        case _:
            raise TypeError(f"not a node: {type(node).__name__}")


def _serialized(node: yaml.Node, step: int) -> str:
    text: str = yaml.serialize(node, Dumper=_Plain, indent=step, width=sys.maxsize, allow_unicode=True)
    return text.removesuffix("...\n")


_MAP = "tag:yaml.org,2002:map"


class _Plain(yaml.SafeDumper):
    """Writes nodes as they are."""
