"""Outputs that a person saved under any name, by what they are: pure, keys of a bundle out."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml

from talos_gpu.doctor.bundle import TEXTS, host
from talos_gpu.talos.machine_config import LABEL

_SPEC = re.compile(r"^[\s{]*\"?cdiVersion\"?\s*:", re.MULTILINE)
"""A spec by its first key, though it may not be loadable."""
_PLURALS = {
    "Pod": "pods",
    "Event": "events",
    "DaemonSet": "daemonsets",
    "Deployment": "deployments",
    "Job": "jobs",
    "ReplicaSet": "replicasets",
    "RuntimeClass": "runtimeclasses",
    "Namespace": "namespaces",
}


def recognised(loose: Mapping[str, str]) -> dict[str, str]:
    """Specs, containerd parts, dmesg, kubectl's YAML and JSON; other `*.txt` and `*.log` as texts to be looked up."""
    found: dict[str, str] = {}
    lists: dict[str, list[Any]] = {}
    nodes: list[Any] = []
    for key, text in loose.items():
        name = key.rsplit("/", 1)[-1].lower()
        if name.startswith("dmesg"):
            found["talos/dmesg.txt"] = text
        elif name.endswith(".part"):
            found[host(f"/etc/cri/conf.d/{name}")] = text
        elif name in ("config.toml", "cri.toml", "containerd.toml"):
            found[host("/etc/cri/conf.d/cri.toml")] = text
        elif name.endswith((".txt", ".log")):
            found[f"{TEXTS}{key}"] = text
        elif name.endswith((".yaml", ".yml", ".json")):
            if _SPEC.search(text):
                found[host(f"/var/run/cdi/{name}")] = text
                continue
            for kind, item in _objects(text):
                if kind == "Node":
                    nodes.append(item)
                elif kind in _PLURALS:
                    lists.setdefault(_PLURALS[kind], []).append(item)
    for plural, items in lists.items():
        found[f"cluster/{plural}.json"] = json.dumps({"items": items}, default=str)
    if node := _one(nodes, lists.get("pods", ())):
        found["cluster/node.json"] = json.dumps(node, default=str)
    return found


def _objects(text: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Kind and object, of a list's items too; an item without a kind has it from its list (PodList)."""
    try:
        documents = [json.loads(text)] if text.lstrip().startswith("{") else list(yaml.safe_load_all(text))
    except (ValueError, yaml.YAMLError):
        return
    for document in documents:
        if not isinstance(document, dict) or not isinstance(kind := document.get("kind"), str):
            continue
        if not kind.endswith("List"):
            yield kind, document
            continue
        items = document.get("items")
        for item in items if isinstance(items, list) else ():
            if isinstance(item, dict):
                yield str(item.get("kind") or kind.removesuffix("List")), item


def _one(nodes: Sequence[Any], pods: Sequence[Any]) -> Any:  # noqa: ANN401 (JSON)
    """The node that the evidence is about: the only one, the one with the GPU's label, the one that all pods are on."""
    if len(nodes) == 1:
        return nodes[0]
    labelled = [node for node in nodes if (_part(node, "metadata").get("labels") or {}).get(LABEL[0]) == LABEL[1]]
    if len(labelled) == 1:
        return labelled[0]
    names = {_part(pod, "spec").get("nodeName") for pod in pods}
    named = [node for node in nodes if names == {_part(node, "metadata").get("name")}]
    return named[0] if named else None


def _part(thing: Any, name: str) -> Mapping[str, Any]:  # noqa: ANN401 (JSON)
    part = thing.get(name)
    return part if isinstance(part, dict) else {}
