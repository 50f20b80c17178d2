"""What a node's live machine config has and the one to be applied does not: keys only, values may be secrets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import yaml

from talos_gpu.talos.errors import NotFound
from talos_gpu.talos.yaml_nodes import comparable, comparable_key, documents, is_null, texts, written_out

if TYPE_CHECKING:
    from talos_gpu.talos.client import MachineClient

MACHINE_CONFIGS = "MachineConfigs.config.talos.dev"
_IDENTITIES = ("path", "name", "interface", "address", "device", "mountpoint", "id")
"""Keys by which an entry of a list is told from the others."""
_FREE = frozenset(
    (
        "auditPolicy",
        "baseRuntimeSpecOverrides",
        "configuration",
        "credentialProviderConfig",
        "env",
        "extraArgs",
        "extraConfig",
        "extraManifestHeaders",
        "extraTags",
        "nodeAnnotations",
        "nodeLabels",
        "nodeTaints",
        "pods",
        "sysctls",
        "sysfs",
        "variables",
    )
)
"""Keys with whatever the user likes below them (siderolabs/talos machinery 1.11.6 and 1.13.9: map[string]string, Env,
Args, Unstructured): "" is a value there, such as a role label's, and elsewhere what Talos writes for an unset text."""


async def live_config(client: MachineClient) -> str:
    """Return the node's machine config (role os:admin): the one of the next boot where the release tells that."""
    try:
        found = await client.resource_get(MACHINE_CONFIGS, "persistent", "config")
    except NotFound:
        found = await client.resource_get(MACHINE_CONFIGS, "v1alpha1", "config")
    return found.text


def removed(live: str, new: str) -> tuple[str, ...]:
    """Return the keys of `live` that `new` has not, the outermost of each branch: `machine.files: /var/a`.

    A changed value is no removal. Absent, null, an empty collection and, where Talos has a field of its own, "" are the
    same. `false` is a value: Talos writes none by itself, and some fields are true without it (`dhcpOptions.ipv4`).
    Raises MachineConfigInvalid if one of them cannot be read.
    """
    after = {(document.kind, document.name): document for document in documents(new)}
    found: list[str] = []
    for document in documents(live):
        other = after.get((document.kind, document.name))
        about = " ".join(word for word in (document.kind, document.name) if word)
        if other is None:
            found.append(f"the document {about or 'v1alpha1'}")
            continue
        keys = _missing(written_out(document.root), written_out(other.root), "")
        found += [f"{about}: {key}" if about else key for key in keys]
    return tuple(found)


def _missing(live: yaml.Node, new: yaml.Node, path: str, *, free: bool = False) -> Iterator[str]:
    """`free`: below a key of _FREE."""
    if isinstance(live, yaml.MappingNode):
        others = {comparable_key(key): value for key, value in new.value} if isinstance(new, yaml.MappingNode) else {}
        for key, value in live.value:
            name = comparable_key(key)
            here = f"{path}.{name}" if path else name
            inside = free or name in _FREE
            if _says_nothing(value, free=inside):
                continue
            if name not in others or (is_null(others[name]) and not _empty(value)):
                yield here
            else:
                yield from _missing(value, others[name], here, free=inside)
    elif isinstance(live, yaml.SequenceNode):
        entries = new.value if isinstance(new, yaml.SequenceNode) else []
        yield from _missing_entries(live.value, entries, path, free=free)


def _missing_entries(live: Sequence[yaml.Node], new: Sequence[yaml.Node], path: str, *, free: bool) -> Iterator[str]:
    known = {identity: entry for entry in new if (identity := _identity(entry))}
    there = [comparable(entry) for entry in new]
    for index, entry in enumerate(live):
        identity = _identity(entry)
        if identity in known:
            yield from _missing(entry, known[identity], f"{path}: {identity}", free=free)
        elif comparable(entry) not in there:
            yield f"{path}: {identity}" if identity else f"{path}[{index}]"


def _identity(entry: yaml.Node) -> str:
    values = texts(entry) if isinstance(entry, yaml.MappingNode) else None
    if isinstance(values, dict):
        for key in _IDENTITIES:
            if isinstance(values.get(key), str):
                return str(values[key])
    return ""


def _says_nothing(node: yaml.Node, *, free: bool) -> bool:
    if isinstance(node, yaml.MappingNode):
        return all(_says_nothing(value, free=free or comparable_key(key) in _FREE) for key, value in node.value)
    if isinstance(node, yaml.SequenceNode):
        return all(_says_nothing(item, free=free) for item in node.value)
    return is_null(node) or (_empty(node) and not free)


def _empty(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.value == ""
