"""An image brought onto a node before its restart, as the kubelet itself does it: by a pod that asks for it."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from talos_gpu.kube.errors import ImageNotPulled

if TYPE_CHECKING:
    from talos_gpu.kube.cluster import Cluster

NAMESPACE = "kube-system"
APP = "talos-nvidia-cdi-image"
"""The `app` label of such a pod."""
_SECONDS = 900.0
"""A Tdarr image has more than a gigabyte."""
_POLL = 0.5
_REFUSED = frozenset(("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"))
_PENDING = frozenset(("", "ContainerCreating", "PodInitializing"))


async def pull(cluster: Cluster, node: str, image: str, seconds: float = _SECONDS) -> None:
    """Return when `image` is on the node. Raises ImageNotPulled with the kubelet's words."""
    found = await cluster.fetch(f"/api/v1/nodes/{node}")
    listed = (found or {}).get("status", {}).get("images") or []
    if any(image in (entry.get("names") or []) for entry in listed):
        return
    name = f"image-for-{node}"[:50].rstrip("-.") + f"-{secrets.token_hex(4)}"
    path = f"/api/v1/namespaces/{NAMESPACE}/pods"
    await cluster.create(path, _pod(name, node, image))
    try:
        await _pulled(cluster, f"{path}/{name}", node, image, seconds)
    finally:
        await cluster.delete(f"{path}/{name}")


def _pod(name: str, node: str, image: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": {"app": APP}},
        "spec": {
            "nodeName": node,
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "tolerations": [{"operator": "Exists"}],
            # whether the image has such a program does not matter: it is pulled before that shows
            "containers": [{"name": "image", "image": image, "command": ["true"], "imagePullPolicy": "IfNotPresent"}],
        },
    }


async def _pulled(cluster: Cluster, path: str, node: str, image: str, seconds: float) -> None:
    until, seen = time.monotonic() + seconds, "the kubelet has not begun"
    while time.monotonic() < until:
        status = (await cluster.fetch(path) or {}).get("status") or {}
        for container in status.get("containerStatuses") or []:
            reason, message = _waiting(container)
            if reason in _REFUSED:
                raise ImageNotPulled(node, image, message or reason)
            if reason not in _PENDING or not (container.get("state") or {}).keys() <= {"waiting"}:
                return
            seen = reason or seen
        await asyncio.sleep(_POLL)
    raise ImageNotPulled(node, image, f"not within {seconds:g} s, last seen: {seen}")


def _waiting(container: Mapping[str, Any]) -> tuple[str, str]:
    waiting = (container.get("state") or {}).get("waiting") or {}
    return waiting.get("reason", ""), waiting.get("message", "")
