"""Lay what a base machine config lacks into it, as Talos's strategic merge would: the text that is dry-run and applied.

Done on YAML nodes, not on values: a scalar of the base keeps its spelling (`0o600`, `yes`, `1_000`), which a reader of
another YAML version could take for something else. Documents beside the v1alpha1 one keep every byte.
"""

from __future__ import annotations

from collections.abc import Sequence

import yaml

from talos_gpu.talos.base_config import BaseConfig
from talos_gpu.talos.errors import MachineConfigInvalid


def render(base: str, patches: Sequence[str]) -> str:
    """Return `base` (one document or several) with `patches` (from `lacking`) in its v1alpha1 document.

    Mappings are merged, lists get the patch's items after their own, an absent value is added. Without patches `base`
    comes back as it is. Raises MachineConfigInvalid if the base cannot be read, or an addition meets a value of another
    form.
    """
    if not patches:
        return base
    BaseConfig.parse(base)
    start, end, root = _v1alpha1(base)
    for patch in patches:
        addition = yaml.compose(patch, Loader=yaml.SafeLoader)
        if isinstance(addition, yaml.MappingNode):
            _merge(root, addition, "")
    text = yaml.serialize(root, Dumper=_Indented, width=10_000, allow_unicode=True)
    return base[:start] + text + base[end:]


def _v1alpha1(base: str) -> tuple[int, int, yaml.MappingNode]:
    """Where the document without `kind` stands, from its first key to its end, and its nodes."""
    events = list(yaml.parse(base, Loader=yaml.SafeLoader))
    ends = [mark.index for event in events if isinstance(event, yaml.DocumentEndEvent) and (mark := event.start_mark)]
    roots = list(yaml.compose_all(base, Loader=yaml.SafeLoader))
    for root, end in zip(roots, ends, strict=True):
        if isinstance(root, yaml.MappingNode) and "kind" not in _keys(root):
            return root.start_mark.index, end, root
    raise MachineConfigInvalid(["no v1alpha1 document"])


def _keys(node: yaml.MappingNode) -> dict[str, int]:
    return {key.value: index for index, (key, _) in enumerate(node.value)}


def _merge(into: yaml.MappingNode, addition: yaml.MappingNode, path: str) -> None:
    places = _keys(into)
    for key, value in addition.value:
        here = f"{path}.{key.value}" if path else key.value
        if key.value not in places:
            into.value.append((key, value))
            continue
        index = places[key.value]
        present = into.value[index][1]
        if isinstance(present, yaml.MappingNode) and isinstance(value, yaml.MappingNode):
            _merge(present, value, here)
            present.flow_style = present.flow_style if present.value is None else False
        elif isinstance(present, yaml.SequenceNode) and isinstance(value, yaml.SequenceNode):
            present.value.extend(value.value)
            present.flow_style = False
        elif isinstance(present, yaml.ScalarNode) and present.tag == "tag:yaml.org,2002:null":
            into.value[index] = (into.value[index][0], value)
        else:
            raise MachineConfigInvalid([f"{here}: of another form than what has to be added"])


class _Indented(yaml.SafeDumper):
    """Writes nodes as they are; anchors keep working, though not their names."""
