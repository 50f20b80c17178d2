"""A node made quiet before it restarts: images there, cordoned, no encode, drained if asked; and freed again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from talos_gpu.kube.errors import (
    ClusterRefused,
    ExecFailed,
    NotDrained,
    PodNotFound,
    PodsUnowned,
    StillEncoding,
)
from talos_gpu.kube.prepull import APP, pull

if TYPE_CHECKING:
    from talos_gpu.kube.cluster import Cluster
    from talos_gpu.kube.states import PodState

CORDONED = "talos-nvidia-cdi/cordoned"
"""Annotation of a node that was cordoned here: only such a node is uncordoned here."""
_POLL = 1.0
_UNASKED_SECONDS = 60.0
"""How long a worker may be called ready and not answer."""
_NOT_READY_SECONDS = 10.0
"""The same of one that is not: its GPU, which its readiness asks for, may hang."""
_NOT_FOUND, _TOO_MANY = 404, 429
"""The eviction API's answers: gone meanwhile; a PodDisruptionBudget does not allow it now."""
_MIRROR = "kubernetes.io/config.mirror"
_PROCESSES = r"""
for comm in /proc/[0-9]*/comm; do
  { read -r name <"$comm"; } 2>/dev/null || continue
  case $name in ffmpeg*|tdarr-ffmpeg*|HandBrakeCLI*) echo "process $name";; esac
done
"""
_SESSIONS = r"""
nvidia-smi --query-gpu=encoder.stats.sessionCount --format=csv,noheader,nounits 2>/dev/null | while read -r count; do
  [ "$count" -gt 0 ] 2>/dev/null && echo "$count encode session(s) on the GPU"
done
exit 0
"""
"""Both POSIX sh, a line for each that encodes. The sessions are the GPU's: those of other containers are among them."""
BUSY = _PROCESSES + _SESSIONS
"""Both at once."""
_REQUIREMENT: Mapping[str, str] = {
    "In": "{key} in ({values})",
    "NotIn": "{key} notin ({values})",
    "Exists": "{key}",
    "DoesNotExist": "!{key}",
}
"""A label selector's matchExpressions as the API's query has them."""


@dataclass(frozen=True, slots=True)
class Quieting:
    """What is done before a restart; times in seconds."""

    encode_deadline_s: float = 1800
    on_deadline: Literal["stop", "continue"] = "stop"
    drain: bool = False
    drain_deadline_s: float = 300
    images: tuple[str, ...] = ()
    adopts: str = ""
    """NAMESPACE/NAME of a Deployment made by hand: its pods are asked for encodes too, whatever their labels."""


async def quiet(
    cluster: Cluster, node: str, worker: str, how: Quieting, say: Callable[[str], None] = lambda _: None
) -> bool:
    """Make the node quiet; returns whether there was a node to make quiet.

    `worker` selects the pods in which encodes are looked for. Raises PodsUnowned and ImageNotPulled before anything was
    changed; StillEncoding and NotDrained leave the node cordoned, so that whoever calls frees it in any case (see
    `free`).
    """
    if await cluster.node(node) is None:
        return False
    if how.drain:
        await _evictable(cluster, node)
    for image in how.images:
        await pull(cluster, node, image)
    await _cordon(cluster, node)
    say = _once(say)
    if not await _workers(cluster, node, worker, how.adopts):
        say(f"no worker runs on {node}: nobody was asked whether an encode runs there")
    await _wait_idle(node, partial(_busy_now, cluster, node, worker, how.adopts, say), how, say)
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
    say = _once(say)
    look = partial(_busy_now, cluster, node, worker, how.adopts, say)
    await _wait_idle(f"the worker on {node}", look, how, say)


async def free(cluster: Cluster, node: str) -> bool:
    """Uncordon the node if it was cordoned here; returns whether it was."""
    found = await cluster.fetch(f"/api/v1/nodes/{node}")
    if found is None or CORDONED not in (found["metadata"].get("annotations") or {}):
        return False
    document = {"metadata": {"annotations": {CORDONED: None}}, "spec": {"unschedulable": None}}
    return await cluster.patch(f"/api/v1/nodes/{node}", document)


async def busy(cluster: Cluster, node: str, worker: str, adopts: str, say: Callable[[str], None]) -> list[str]:
    """What is being encoded in the worker's pods on the node, in words; empty if nothing.

    Raises ExecFailed where a pod that is called ready cannot be asked; of one that is not, that is said.
    """
    return [line for pod in await _workers(cluster, node, worker, adopts) for line in await _asked(cluster, pod, say)]


async def _asked(cluster: Cluster, pod: PodState, say: Callable[[str], None]) -> list[str]:
    # in one that is not ready processes come first and alone: nvidia-smi may hang there while ffmpeg runs
    scripts, seconds = ([BUSY], 30.0) if pod.ready else ([_PROCESSES, _SESSIONS], _NOT_READY_SECONDS)
    found: list[str] = []
    for script in scripts:
        try:
            said = await cluster.exec_in_pod(pod.namespace, pod.name, ["sh", "-c", script], seconds=seconds)
        except PodNotFound:
            break
        except ExecFailed as error:
            if pod.ready:
                raise
            say(f"a worker that is not ready cannot be asked whether an encode runs in it: {error.message}")
            break
        found += said.stdout.splitlines()
    return found


async def _workers(cluster: Cluster, node: str, worker: str, adopts: str) -> list[PodState]:
    """The worker's pods that run on the node, ready or not."""
    found = [*await cluster.pods(worker)]
    if adopts:
        namespace, _, name = adopts.partition("/")
        deployment = await cluster.fetch(f"/apis/apps/v1/namespaces/{namespace}/deployments/{name}")
        if deployment is not None:
            found += await cluster.pods(_written(deployment["spec"]["selector"]), namespace)
    there = {(pod.namespace, pod.name): pod for pod in found if pod.node == node and pod.phase == "Running"}
    return list(there.values())


def _written(selector: Mapping[str, Any]) -> str:
    """A label selector as the API's query has it."""
    labels = [f"{key}={value}" for key, value in (selector.get("matchLabels") or {}).items()]
    more = [
        _REQUIREMENT[item["operator"]].format(key=item["key"], values=",".join(item.get("values") or []))
        for item in selector.get("matchExpressions") or []
    ]
    return ",".join([*labels, *more])


def _once(say: Callable[[str], None]) -> Callable[[str], None]:
    """As `say`, each sentence once."""
    told = set[str]()

    def once(sentence: str) -> None:
        if sentence not in told:
            told.add(sentence)
            say(sentence)

    return once


async def _busy_now(cluster: Cluster, node: str, worker: str, adopts: str, say: Callable[[str], None]) -> list[str]:
    """As `busy`; after a restart of the node its pods count as ready until the kubelet tells that they are not."""
    until = time.monotonic() + _UNASKED_SECONDS
    while True:
        try:
            return await busy(cluster, node, worker, adopts, say)
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
    """The node's pods that a drain evicts: not those of DaemonSets, not static ones, not what has ended.

    Raises PodsUnowned where one of them would never come back, as `kubectl drain` refuses it.
    """
    listed = await cluster.fetch("/api/v1/pods", fieldSelector=f"spec.nodeName={node}")
    found = [
        pod
        for pod in (listed or {}).get("items", [])
        if pod.get("status", {}).get("phase") not in {"Succeeded", "Failed"}
        and _MIRROR not in (pod["metadata"].get("annotations") or {})
        and not any(owner["kind"] == "DaemonSet" for owner in pod["metadata"].get("ownerReferences") or [])
    ]
    unowned = [f"{pod['metadata']['namespace']}/{pod['metadata']['name']}" for pod in found if _stays_away(pod)]
    if unowned:
        raise PodsUnowned(node, unowned)
    return found


def _stays_away(pod: Mapping[str, Any]) -> bool:
    """Whether nothing makes the pod again; one that is ending anyway, or brought an image, is not meant to stay."""
    metadata = pod["metadata"]
    if "deletionTimestamp" in metadata or (metadata.get("labels") or {}).get("app") == APP:
        return False
    return not any(owner.get("controller") for owner in metadata.get("ownerReferences") or [])


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
