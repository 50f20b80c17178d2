"""Lay what a base machine config lacks into it: the text that is dry-run and applied.

Why a whole rendered config, and not a patch: a strategic merge appends to lists and cannot change the entry of
`machine.files` that is there, and a JSON patch names entries by their position, which is another in each base, and is
refused by Talos for a config of several documents (siderolabs/talos configpatcher, v1.11.6). A whole text is what Talos
applies in the end; it can be looked at, compared, dry-run and hashed.

The text is edited in place, so that comments, order and the spelling of scalars stay. What was written is parsed
again and must be exactly base plus addition; a form that cannot be edited (aliases, merge keys) is written anew from
its nodes, without comments. Documents that need nothing keep every byte.
"""

from __future__ import annotations

from collections.abc import Sequence

import yaml

from talos_gpu.talos.base_config import BaseConfig
from talos_gpu.talos.errors import MachineConfigInvalid
from talos_gpu.talos.yaml_edit import CannotEdit, Edits
from talos_gpu.talos.yaml_nodes import Document, comparable, documents, entry_path, is_null, places, written_out
from talos_gpu.talos.yaml_write import Style, written


def render(base: str, patches: Sequence[str]) -> str:
    """Return `base` (one document or several) with `patches` (from `lacking`) in it.

    Mappings are merged, lists get the patch's items after their own, an absent value is added, a document of a new kind
    goes to the end. An entry of `machine.files` whose path the base has gets the patch's content. Without patches
    `base` comes back as it is. Raises MachineConfigInvalid if the base cannot be read, or an addition meets a value of
    another form.
    """
    if not patches:
        return base
    BaseConfig.parse(base)
    text = base
    for patch in patches:
        for addition in documents(patch):
            text = _with(text, addition)
    return text


def _with(text: str, addition: Document) -> str:
    for document in documents(text):
        if (document.kind, document.name) == (addition.kind, addition.name):
            return _merged(text, document, addition.root)
    ended = text if text.endswith("\n") else text + "\n"
    return f"{ended}---\n{written(addition.root, Style())}"


def _merged(text: str, document: Document, addition: yaml.MappingNode) -> str:
    expected = written_out(document.root)
    if not isinstance(expected, yaml.MappingNode):
        raise TypeError("a document's root is a mapping")
    _merge(expected, addition, "")
    style = Style.of(document.root)
    edits = Edits(text, style)
    try:
        edits.merge(document.root, addition)
        edited = edits.applied()
        if _holds(edited, text, document, expected):
            return edited
    except CannotEdit:
        pass  # written anew below
    return text[: document.start] + written(expected, style) + text[document.end :]


def _holds(edited: str, text: str, document: Document, expected: yaml.Node) -> bool:
    """Whether `edited` is `text` with `document` as expected and all others as they were."""
    try:
        after = documents(edited)
    except MachineConfigInvalid:
        return False
    before = documents(text)
    wanted = [comparable(expected if other.start == document.start else written_out(other.root)) for other in before]
    return [comparable(written_out(other.root)) for other in after] == wanted


def _merge(into: yaml.MappingNode, addition: yaml.MappingNode, path: str) -> None:
    where = places(into)
    for key, value in addition.value:
        here = f"{path}.{key.value}" if path else key.value
        if key.value not in where:
            into.value.append((key, value))
            continue
        index = where[key.value]
        present = into.value[index][1]
        if is_null(present) or (isinstance(value, yaml.ScalarNode) and isinstance(present, yaml.ScalarNode)):
            into.value[index] = (into.value[index][0], value)
        elif isinstance(present, yaml.MappingNode) and isinstance(value, yaml.MappingNode):
            _merge(present, value, here)
            present.flow_style = False
        elif isinstance(present, yaml.SequenceNode) and isinstance(value, yaml.SequenceNode):
            _extend(present, value, here)
        else:
            raise MachineConfigInvalid([f"{here}: of another form than what has to be added"])


def _extend(present: yaml.SequenceNode, value: yaml.SequenceNode, here: str) -> None:
    entries = {entry_path(item): item for item in present.value}
    for item in value.value:
        known = entries.get(entry_path(item)) if here == "machine.files" else None
        if isinstance(known, yaml.MappingNode) and isinstance(item, yaml.MappingNode):
            _merge(known, item, here)
        else:
            present.value.append(item)
    present.flow_style = False
