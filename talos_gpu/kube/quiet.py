"""A node made quiet before it restarts: images there, cordoned, no encode, drained if asked; and freed again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from talos_gpu.kube.errors import ClusterRefused, ExecFailed, NotDrained, PodNotFound, StillEncoding
from talos_gpu.kube.prepull import pull

if TYPE_CHECKING:
    from talos_gpu.kube.cluster import Cluster

CORDONED = "talos-nvidia-cdi/cordoned"
"""Annotation of a node that was cordoned here: only such a node is uncordoned here."""
_POLL = 1.0
_UNASKED_SECONDS = 60.0
"""How long a worker may be called ready and not answer."""
_NOT_FOUND, _TOO_MANY = 404, 429
"""The eviction API's answers: gone meanwhile; a PodDisruptionBudget does not allow it now."""
_MIRROR = "kubernetes.io/config.mirror"
BUSY = r"""
for comm in /proc/[0-9]*/comm; do
  { read -r name <"$comm"; } 2>/dev/null || continue
  case $name in ffmpeg*|tdarr-ffmpeg*|HandBrakeCLI*) echo "process $name";; esac
done
nvidia-smi --query-gpu=encoder.stats.sessionCount --format=csv,noheader,nounits 2>/dev/null | while read -r count; do
  [ "$count" -gt 0 ] 2>/dev/null && echo "$count encode session(s) on the GPU"
done
exit 0
"""
"""POSIX sh, a line for each that encodes. The sessions are the GPU's: those of other containers are among them."""


@dataclass(frozen=True, slots=True)
class Quieting:
    """What is done before a restart; times in seconds."""

    encode_deadline_s: float = 1800
    on_deadline: Literal["stop", "continue"] = "stop"
    drain: bool = False
    drain_deadline_s: float = 300
    images: tuple[str, ...] = ()


async def quiet(
    cluster: Cluster, node: str, worker: str, how: Quieting, say: Callable[[str], None] = lambda _: None
) -> bool:
    """Make the node quiet; returns whether there was a node to make quiet.

    `worker` selects the pods in which encodes are looked for. Raises ImageNotPulled before anything was changed;
    StillEncoding and NotDrained leave the node cordoned, so that whoever calls frees it in any case (see `free`).
    """
    if await cluster.node(node) is None:
        return False
    for image in how.images:
        await pull(cluster, node, image)
    await _cordon(cluster, node)
    await _wait_idle(node, partial(_busy_now, cluster, node, worker), how, say)
    if how.drain:
        await _drain(cluster, node, how.drain_deadline_s)
    return True


async def idle(
    cluster: Cluster, node: str, worker: str, how: Quieting, say: Callable[[str], None] = lambda _: None
) -> None:
    """Return when nothing is encoded in the worker's pods on the node, before the worker alone is restarted.

    The node is not cordoned: its new worker has to come back there. Raises StillEncoding; ExecFailed where a worker
    that is called ready cannot be asked for a minute.
    """
    await _wait_idle(f"the worker on {node}", partial(_busy_now, cluster, node, worker), how, say)


async def free(cluster: Cluster, node: str) -> bool:
    """Uncordon the node if it was cordoned here; returns whether it was."""
    found = await cluster.fetch(f"/api/v1/nodes/{node}")
    if found is None or CORDONED not in (found["metadata"].get("annotations") or {}):
        return False
    document = {"metadata": {"annotations": {CORDONED: None}}, "spec": {"unschedulable": None}}
    return await cluster.patch(f"/api/v1/nodes/{node}", document)


async def busy(cluster: Cluster, node: str, worker: str) -> list[str]:
    """What is being encoded in the worker's pods on the node, in words; empty if nothing."""
    found: list[str] = []
    for pod in await cluster.pods(worker):
        if pod.node != node or pod.phase != "Running" or not pod.ready:
            continue
        try:
            said = await cluster.exec_in_pod(pod.namespace, pod.name, ["sh", "-c", BUSY], seconds=30)
        except PodNotFound:
            continue
        found += said.stdout.splitlines()
    return found


async def _busy_now(cluster: Cluster, node: str, worker: str) -> list[str]:
    """As `busy`; after a restart of the node its pods count as ready until the kubelet tells that they are not."""
    until = time.monotonic() + _UNASKED_SECONDS
    while True:
        try:
            return await busy(cluster, node, worker)
        except ExecFailed:
            if time.monotonic() >= until:
                raise
        await asyncio.sleep(_POLL)


async def _cordon(cluster: Cluster, node: str) -> None:
    state = await cluster.node(node)
    if state is None or state.unschedulable:
        return  # somebody else's cordon stays theirs
    document = {"metadata": {"annotations": {CORDONED: "true"}}, "spec": {"unschedulable": True}}
    await cluster.patch(f"/api/v1/nodes/{node}", document)


async def _wait_idle(
    what: str, look: Callable[[], Awaitable[list[str]]], how: Quieting, say: Callable[[str], None]
) -> None:
    """`what` is restarted, in the words of a sentence."""
    until, told = time.monotonic() + how.encode_deadline_s, False
    while running := await look():
        if time.monotonic() >= until:
            seen = ", ".join(dict.fromkeys(running))
            if how.on_deadline == "stop":
                raise StillEncoding(what, how.encode_deadline_s, seen)
            say(f"{what} restarts although there still runs {seen}: machine.before_restart.on_deadline is continue")
            return
        if not told:
            say(f"{what} waits up to {how.encode_deadline_s:g} s for {', '.join(dict.fromkeys(running))} to end")
            told = True
        await asyncio.sleep(_POLL)


async def _drain(cluster: Cluster, node: str, seconds: float) -> None:
    until = time.monotonic() + seconds
    while True:
        left, why = [], "their end takes longer"
        for pod in await _evictable(cluster, node):
            metadata = pod["metadata"]
            left.append(f"{metadata['namespace']}/{metadata['name']}")
            if "deletionTimestamp" not in metadata:
                why = await _evict(cluster, metadata["namespace"], metadata["name"]) or why
        if not left:
            return
        if time.monotonic() >= until:
            raise NotDrained(node, seconds, left, why)
        await asyncio.sleep(_POLL)


async def _evictable(cluster: Cluster, node: str) -> Sequence[dict[str, Any]]:
    """The node's pods that a drain evicts: not those of DaemonSets, not static ones, not what has ended."""
    listed = await cluster.fetch("/api/v1/pods", fieldSelector=f"spec.nodeName={node}")
    return [
        pod
        for pod in (listed or {}).get("items", [])
        if pod.get("status", {}).get("phase") not in {"Succeeded", "Failed"}
        and _MIRROR not in (pod["metadata"].get("annotations") or {})
        and not any(owner["kind"] == "DaemonSet" for owner in pod["metadata"].get("ownerReferences") or [])
    ]


async def _evict(cluster: Cluster, namespace: str, name: str) -> str:
    """Ask for a pod's eviction; returns why it is refused for now."""
    document = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": name, "namespace": namespace},
    }
    try:
        await cluster.create(f"/api/v1/namespaces/{namespace}/pods/{name}/eviction", document)
    except ClusterRefused as refused:
        if refused.status == _TOO_MANY:
            return refused.message
        if refused.status != _NOT_FOUND:
            raise
    return ""
