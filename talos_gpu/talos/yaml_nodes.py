"""YAML as nodes: every scalar keeps its spelling, which a value of another YAML version could lose (`0o600`, `yes`)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml
from yaml.constructor import ConstructorError, SafeConstructor

from talos_gpu.talos.errors import MachineConfigInvalid

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml's where PyYAML was built with it: ten times as fast, with the same positions."""
NULL = "tag:yaml.org,2002:null"
_MERGE = "tag:yaml.org,2002:merge"
_MOST_NODES = 200_000
"""Aliases written out; a machine config has some hundred nodes."""


@dataclass(frozen=True, slots=True)
class Document:
    """One YAML document of a text. `start` and `end` are characters: its first key, and the end of its content."""

    start: int
    end: int
    root: yaml.MappingNode

    @property
    def kind(self) -> str:
        """`kind` of a newer document, "" for v1alpha1."""
        return _scalar(self.root, "kind")

    @property
    def name(self) -> str:
        """`name` of a newer document, "" where it has none."""
        return _scalar(self.root, "name") if self.kind else ""


def documents(text: str) -> list[Document]:
    """Return the documents of `text`, empty ones left out.

    Raises MachineConfigInvalid, without quoting the text, if it is not YAML or a document is no mapping.
    """
    try:
        events = list(yaml.parse(text, Loader=_Loader))
        roots = list(yaml.compose_all(text, Loader=_Loader))
    except yaml.MarkedYAMLError as error:
        where = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise MachineConfigInvalid([f"{where}not YAML ({error.context or 'syntax'})"]) from None
    except yaml.YAMLError:
        raise MachineConfigInvalid(["not YAML: it has characters that YAML does not allow"]) from None
    ends = [mark.index for event in events if isinstance(event, yaml.DocumentEndEvent) and (mark := event.start_mark)]
    found = []
    for root, end in zip(roots, ends, strict=True):
        if root is None or (isinstance(root, yaml.ScalarNode) and root.tag == NULL):
            continue
        if not isinstance(root, yaml.MappingNode):
            raise MachineConfigInvalid(["a document of it is no mapping"])
        found.append(Document(root.start_mark.index, end, root))
    return found


def written_out(node: yaml.Node) -> yaml.Node:
    """Return a copy in which aliases are copies and merge keys (`<<`) are merged; of a key given twice the last counts.

    Raises MachineConfigInvalid if that has no end.
    """
    budget = iter(range(_MOST_NODES))
    try:
        return _copy(node, budget)
    except RecursionError:
        raise MachineConfigInvalid(["an alias stands for what it is part of"]) from None
    except ConstructorError:
        raise MachineConfigInvalid(["a merge key (<<) is not followed by mappings"]) from None


def comparable(node: yaml.Node) -> object:
    """Return what two spellings of one content have in common: nested dicts and lists, scalars as (tag, text)."""
    match node:
        case yaml.MappingNode():
            return {comparable_key(key): comparable(value) for key, value in node.value}
        case yaml.SequenceNode():
            return [comparable(item) for item in node.value]
        case yaml.ScalarNode():
            return (node.tag, "" if node.tag == NULL else node.value)
        case _:
            raise TypeError(f"not a node: {type(node).__name__}")


def comparable_key(key: yaml.Node) -> str:
    """Return a mapping's key as text."""
    return key.value if isinstance(key, yaml.ScalarNode) else repr(comparable(key))


def places(node: yaml.MappingNode) -> dict[str, int]:
    """Return where each key stands."""
    return {comparable_key(key): index for index, (key, _) in enumerate(node.value)}


def duplicates(node: yaml.Node) -> Iterator[tuple[int, str]]:
    """Yield (line, key) of each key that its mapping has already; Talos's loader refuses such a text."""
    visited: set[int] = set()
    nodes = [node]
    while nodes:
        node = nodes.pop()
        if id(node) in visited or not isinstance(node, yaml.CollectionNode):
            continue
        visited.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            nodes += node.value
            continue
        seen: set[str] = set()
        for key, value in node.value:
            name = str(key.value) if isinstance(key, yaml.ScalarNode) else str(id(key))
            if name in seen and key.tag != _MERGE:
                yield key.start_mark.line + 1, name
            seen.add(name)
            nodes.append(value)


def texts(node: yaml.Node) -> object:
    """Return dicts and lists with every scalar as its text, None for null: as Talos reads a field of type string."""
    match node:
        case yaml.MappingNode():
            return {comparable_key(key): texts(value) for key, value in node.value}
        case yaml.SequenceNode():
            return [texts(item) for item in node.value]
        case yaml.ScalarNode():
            return None if node.tag == NULL else node.value
        case _:
            raise TypeError(f"not a node: {type(node).__name__}")


def is_null(node: yaml.Node) -> bool:
    """Whether the node is null, or nothing at all."""
    return isinstance(node, yaml.ScalarNode) and node.tag == NULL


def entry_path(entry: yaml.Node) -> str:
    """Return the `path` of an entry of machine.files; "" for anything else."""
    return _scalar(entry, "path") if isinstance(entry, yaml.MappingNode) else ""


def _copy(node: yaml.Node, budget: Iterator[int]) -> yaml.Node:
    if next(budget, None) is None:
        raise MachineConfigInvalid(["its aliases stand for more than a machine config can hold"])
    match node:
        case yaml.MappingNode():
            pairs = [(key, value) for key, value in node.value]
            flat = yaml.MappingNode(node.tag, pairs, node.start_mark, node.end_mark, node.flow_style)
            if any(key.tag == _MERGE for key, _ in pairs):
                SafeConstructor().flatten_mapping(flat)
            last = {comparable_key(key): (key, value) for key, value in flat.value}
            flat.value = [(_copy(key, budget), _copy(value, budget)) for key, value in last.values()]
            return flat
        case yaml.SequenceNode():
            items = [_copy(item, budget) for item in node.value]
            return yaml.SequenceNode(node.tag, items, node.start_mark, node.end_mark, node.flow_style)
        case yaml.ScalarNode():
            return yaml.ScalarNode(node.tag, node.value, node.start_mark, node.end_mark, node.style)
        case _:
            raise TypeError(f"not a node: {type(node).__name__}")


def _scalar(root: yaml.MappingNode, key: str) -> str:
    for name, value in root.value:
        if isinstance(name, yaml.ScalarNode) and name.value == key and isinstance(value, yaml.ScalarNode):
            return str(value.value)
    return ""
