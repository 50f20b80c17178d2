"""The cluster's objects as checks want them; pure, from the API's JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from talos_gpu.doctor.view import View

INSTALLER, GENERATOR, WORKER = "nvidia-cdi-init", "nvidia-cdi-generator", "tdarr-node-gpu"
NODE_LABEL = "talos-nvidia-cdi/node"
SPEC_DIGEST = "talos-nvidia-cdi/spec-sha256"
VISIBLE = "NVIDIA_VISIBLE_DEVICES"
Object = Mapping[str, Any]


def items(view: View, plural: str) -> Sequence[Object]:
    """All objects of a kind; raises Unread."""
    found: Sequence[Object] = view.json(f"cluster/{plural}.json").get("items") or []
    return found


def name(thing: Object) -> str:
    """`namespace/name`, or the name of what has no namespace."""
    metadata = thing.get("metadata", {})
    namespace = metadata.get("namespace")
    return f"{namespace}/{metadata.get('name')}" if namespace else str(metadata.get("name"))


def labels(thing: Object) -> Mapping[str, str]:
    """Its labels."""
    return thing.get("metadata", {}).get("labels") or {}


def of_app(things: Sequence[Object], app: str, node: str | None) -> list[Object]:
    """Our objects of an app on a node."""
    return [
        thing
        for thing in things
        if labels(thing).get("app") == app and (node is None or labels(thing).get(NODE_LABEL) in (None, node))
    ]


def containers(pod: Object) -> Sequence[Object]:
    """Its containers, the init containers not among them."""
    return (pod.get("spec") or {}).get("containers") or []


def statuses(pod: Object) -> Sequence[Object]:
    """Its containers' states, the init containers' first."""
    status = pod.get("status") or {}
    return [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]


def env(container: Object) -> dict[str, str]:
    """Plain values; those from elsewhere are left out."""
    return {item["name"]: str(item["value"]) for item in container.get("env") or [] if "value" in item}


def visible(pod: Object) -> str | None:
    """NVIDIA_VISIBLE_DEVICES of its first container that has it."""
    return next((env(container)[VISIBLE] for container in containers(pod) if VISIBLE in env(container)), None)


def wants_gpu(pod: Object) -> bool:
    """Whether it asks for a GPU by env, by RuntimeClass or by resource."""
    if visible(pod) not in (None, "", "void", "none"):
        return True
    runtime_class = (pod.get("spec") or {}).get("runtimeClassName") or ""
    limits = [(container.get("resources") or {}).get("limits") or {} for container in containers(pod)]
    return runtime_class.startswith("nvidia") or any("nvidia.com/gpu" in limit for limit in limits)


def waiting(pod: Object) -> str:
    """Why its first waiting container waits, or how it ended last; "" if none does."""
    for status in statuses(pod):
        state = status.get("state") or {}
        for told in (state.get("waiting"), state.get("terminated"), (status.get("lastState") or {}).get("terminated")):
            if told and told.get("reason") not in (None, "Completed", "ContainerCreating", "PodInitializing"):
                words = [told.get("reason"), told.get("message")]
                return ": ".join(str(word).strip() for word in words if word)
    return ""


_PLURALS = {"ReplicaSet": "replicasets", "DaemonSet": "daemonsets", "Job": "jobs"}


def lacks_pods(view: View, about: Object) -> bool:
    """Whether an owner that an event is about is still there and has fewer pods than it wants; True if not known."""
    plural = _PLURALS.get(str(about.get("kind")))
    if plural is None or f"cluster/{plural}.json" not in view.bundle.texts:
        return True
    where = (about.get("namespace"), about.get("name"))
    for thing in items(view, plural):
        metadata, spec, status = thing.get("metadata") or {}, thing.get("spec") or {}, thing.get("status") or {}
        if (metadata.get("namespace"), metadata.get("name")) != where:
            continue
        if plural == "jobs":
            return not (status.get("active") or status.get("succeeded"))
        have, want = ("replicas", spec) if plural == "replicasets" else ("currentNumberScheduled", status)
        wanted = want.get("replicas" if plural == "replicasets" else "desiredNumberScheduled") or 0
        return int(status.get(have) or 0) < int(wanted)
    return False


def ready(pod: Object) -> bool:
    """Whether its condition Ready is true."""
    conditions = (pod.get("status") or {}).get("conditions") or []
    return any(item.get("type") == "Ready" and item.get("status") == "True" for item in conditions)


def condition(thing: Object, kind: str) -> Object:
    """Its condition of a type, empty if it has none."""
    conditions = (thing.get("status") or {}).get("conditions") or []
    return next((item for item in conditions if item.get("type") == kind), {})


def events_about(view: View, thing: Object) -> Iterator[Object]:
    """Warnings about an object, the oldest first; none where no events are in the evidence."""
    metadata = thing.get("metadata", {})
    for event in sorted(items(view, "events") if "cluster/events.json" in view.bundle.texts else (), key=when):
        about = event.get("involvedObject") or {}
        same = about.get("name") == metadata.get("name") and about.get("namespace") == metadata.get("namespace")
        if same and event.get("type") == "Warning":
            yield event


def when(event: Object) -> str:
    """When it was last seen."""
    series = event.get("series") or {}
    return str(series.get("lastObservedTime") or event.get("lastTimestamp") or event.get("eventTime") or "")


def gpu_pods(view: View) -> list[Object]:
    """Pods that ask for a GPU and are, or should be, on the node; those that have ended well or have a successor are
    left out.
    """
    pods = items(view, "pods")
    node, has = view.node, _node_labels(view)
    found = []
    for pod in pods:
        spec, status = pod.get("spec") or {}, pod.get("status") or {}
        there = node is None or node == spec.get("nodeName") or _selects(spec, node, has)
        if there and wants_gpu(pod) and status.get("phase") != "Succeeded" and not succeeded_by(pod, pods):
            found.append(pod)
    return found


def _node_labels(view: View) -> Mapping[str, str]:
    return labels(view.json("cluster/node.json") or {}) if "cluster/node.json" in view.bundle.texts else {}


def _selects(spec: Object, node: str, has: Mapping[str, str]) -> bool:
    """Whether a pod that is on no node yet is for this one: by name, or by a selector that it fits."""
    wanted = spec.get("nodeSelector") or {}
    if "kubernetes.io/hostname" in wanted:
        return bool(wanted["kubernetes.io/hostname"] == node)
    return not spec.get("nodeName") and bool(wanted) and all(has.get(key) == value for key, value in wanted.items())


def succeeded_by(pod: Object, pods: Sequence[Object]) -> bool:
    """Whether a pod is past: it has failed (evicted, or a try of a Job), and another one has taken its place.

    The place is that of its controller; without one that of its labels, where the kubelet has ended it.
    """
    status = pod.get("status") or {}
    mine = _controller(pod) or (_labelled(pod) if status.get("reason") else ())
    if status.get("phase") != "Failed" or not mine:
        return False
    others = (one for one in pods if one is not pod and (one.get("status") or {}).get("phase") not in (None, "Failed"))
    return any(mine in (_controller(one), _labelled(one)) for one in others)


def _controller(pod: Object) -> tuple[object, ...]:
    metadata = pod.get("metadata") or {}
    owners = [owner for owner in metadata.get("ownerReferences") or [] if owner.get("controller")]
    return next(((metadata.get("namespace"), owner.get("kind"), owner.get("name")) for owner in owners), ())


def _labelled(pod: Object) -> tuple[object, ...]:
    own = labels(pod)
    return (pod["metadata"].get("namespace"), *sorted(own.items())) if own else ()


def tolerates(pod: Object, taint: Object) -> bool:
    """Whether a pod bears a taint."""
    for toleration in (pod.get("spec") or {}).get("tolerations") or []:
        key, operator = toleration.get("key"), toleration.get("operator", "Equal")
        if key not in (None, "", taint.get("key")):
            continue
        if toleration.get("effect") not in (None, "", taint.get("effect")):
            continue
        if operator == "Exists" or toleration.get("value", "") == taint.get("value", ""):
            return True
    return False
