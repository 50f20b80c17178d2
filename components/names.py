"""What the objects of a node have in common: names, labels, where they run."""

from __future__ import annotations

import hashlib
from typing import Any

SYSTEM_NAMESPACE = "kube-system"
"""Exempt from PodSecurity on Talos, so that privileged pods run there."""
NODE_LABEL = "talos-nvidia-cdi/node"
WORKER = "tdarr-node-gpu"
"""The `app` label of a worker."""
SPEC_DIGEST = "talos-nvidia-cdi/spec-sha256"
_LONGEST = 63


def object_name(prefix: str, node: str) -> str:
    """`prefix-node`; one that is longer than 63 characters ends in a digest instead."""
    name = f"{prefix}-{node}"
    if len(name) <= _LONGEST:
        return name
    digest = hashlib.sha256(node.encode()).hexdigest()[:8]
    return f"{name[: _LONGEST - 9].rstrip('-.')}-{digest}"


def labels(app: str, node: str) -> dict[str, str]:
    """Labels and selector of one node's object: two stacks in one cluster never select each other's pods."""
    return {"app": app, NODE_LABEL: node}


def placement(node: str) -> dict[str, Any]:
    """Pod fields that pin to the node, by name and by GPU label, and let it through the GPU's taint."""
    from talos_gpu.talos.machine_config import LABEL

    return {
        "node_selector": {"kubernetes.io/hostname": node, LABEL[0]: LABEL[1]},
        "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}],
    }
