"""What is read of the cluster's objects; pure, from the API's JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class NodeState:
    """A Node object."""

    name: str
    ready: bool
    reason: str
    """The kubelet's words for its Ready condition."""
    labels: Mapping[str, str]
    boot_id: str
    kernel: str
    container_runtime: str
    """`containerd://2.1.4`."""
    unschedulable: bool

    @property
    def containerd(self) -> str | None:
        """The runtime's version, if it is containerd."""
        name, _, version = self.container_runtime.partition("://")
        return version if name == "containerd" else None


@dataclass(frozen=True, slots=True)
class PodState:
    """A Pod object."""

    namespace: str
    name: str
    node: str
    phase: str
    ready: bool
    restarts: int
    waiting: str
    """Why its first waiting container waits, `CreateContainerError: ...`; "" if none does."""
    annotations: Mapping[str, str]
    ending: bool = False
    """Whether it is being deleted: it may still say Running."""


@dataclass(frozen=True, slots=True)
class Event:
    """An Event about an object, the newest occurrence."""

    type: str
    """Normal or Warning."""
    reason: str
    message: str
    count: int
    last: str
    """RFC 3339."""


@dataclass(frozen=True, slots=True)
class ExecResult:
    """A command that ran in a container."""

    rc: int
    stdout: str
    stderr: str


def node_state(node: Mapping[str, Any]) -> NodeState:
    """Read a Node."""
    status = node.get("status") or {}
    info = status.get("nodeInfo") or {}
    ready = _condition(status, "Ready")
    return NodeState(
        name=node["metadata"]["name"],
        ready=ready.get("status") == "True",
        reason=": ".join(text for text in (ready.get("reason"), ready.get("message")) if text),
        labels=node["metadata"].get("labels") or {},
        boot_id=info.get("bootID", ""),
        kernel=info.get("kernelVersion", ""),
        container_runtime=info.get("containerRuntimeVersion", ""),
        unschedulable=bool((node.get("spec") or {}).get("unschedulable")),
    )


def pod_state(pod: Mapping[str, Any]) -> PodState:
    """Read a Pod."""
    metadata, status = pod["metadata"], pod.get("status") or {}
    containers = [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]
    waits = [container["state"]["waiting"] for container in containers if "waiting" in (container.get("state") or {})]
    return PodState(
        namespace=metadata["namespace"],
        name=metadata["name"],
        node=(pod.get("spec") or {}).get("nodeName", ""),
        phase=status.get("phase", "Unknown"),
        ready=_condition(status, "Ready").get("status") == "True",
        restarts=sum(container.get("restartCount", 0) for container in containers),
        waiting=": ".join(text for text in (waits[0].get("reason"), waits[0].get("message")) if text) if waits else "",
        annotations=metadata.get("annotations") or {},
        ending="deletionTimestamp" in metadata,
    )


def event(item: Mapping[str, Any]) -> Event:
    """Read a core/v1 Event; new ones carry their count in `series` and their time in `eventTime`."""
    series = item.get("series") or {}
    times = (series.get("lastObservedTime"), item.get("lastTimestamp"), item.get("eventTime"))
    return Event(
        type=item.get("type", ""),
        reason=item.get("reason", ""),
        message=(item.get("message") or "").strip(),
        count=series.get("count") or item.get("count") or 1,
        last=next((time for time in times if time), item["metadata"].get("creationTimestamp") or ""),
    )


def lacking(node: NodeState | None, labels: Mapping[str, str], boot_id_before: str | None) -> str:
    """Return what the node lacks of being Ready with the labels, and booted since if an old boot id is given, or ""."""
    if node is None:
        return "not registered"
    lacks: list[str] = []
    if boot_id_before is not None and node.boot_id == boot_id_before:
        lacks.append(f"still on boot {boot_id_before}")
    if not node.ready:
        lacks.append(f"not Ready ({node.reason or 'no condition yet'})")
    for name, value in labels.items():
        if name not in node.labels:
            lacks.append(f"without label {name}")
        elif node.labels[name] != value:
            lacks.append(f"label {name} is {node.labels[name]!r}, not {value!r}")
    return ", ".join(lacks)


def _condition(status: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    conditions: Sequence[Mapping[str, Any]] = status.get("conditions") or []
    return next((condition for condition in conditions if condition.get("type") == kind), {})
