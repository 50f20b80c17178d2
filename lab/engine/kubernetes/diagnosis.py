"""Why the pods of an object are not what they should be: container states, events, last log lines."""

from __future__ import annotations

from collections.abc import Iterator

from lab.engine.kubernetes.client import Cluster
from lab.engine.kubernetes.errors import ProviderFault
from lab.engine.kubernetes.objects import kind_of, metadata, name_of, namespace_of
from lab.engine.kubernetes.wire import Object

LOG_LINES = 10
_MOST_PODS, _MOST_EVENTS = 3, 5
_STARTING = ("ContainerCreating", "PodInitializing")


def of_pods(cluster: Cluster, obj: Object) -> list[str]:
    """One line per finding, newest pod first; empty when the cluster tells nothing."""
    if kind_of(obj) not in ("Job", "DaemonSet", "Deployment", "StatefulSet", "Pod"):
        return []
    try:
        found = [line for pod in _pods(cluster, obj)[:_MOST_PODS] for line in _pod_findings(cluster, pod)]
        return found or list(_events(cluster, obj))
    except ProviderFault:
        return []  # the object's own failure is being told; that its pods can't be read must not hide it


def of_starting_pods(cluster: Cluster, job: Object) -> list[str]:
    """What keeps containers of a Job from starting at this moment, one line each.

    A Job past its deadline deletes its pods before it says that it failed: whoever asks only then is told nothing of an
    image that could not be pulled. The official plugin collects what pods tell meanwhile, too (await/job.go).
    """
    try:
        return [
            f"[Pod {namespace_of(pod)}/{name_of(pod)}]: container {container['name']}: {_container_finding(container)}"
            for pod in _pods(cluster, job)[:_MOST_PODS]
            for container in _containers(pod)
            if _waiting(container).get("reason", _STARTING[0]) not in _STARTING
        ]
    except ProviderFault:
        return []  # as above


def _containers(pod: Object) -> list[Object]:
    status = pod.get("status") or {}
    return [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]


def _waiting(container: Object) -> Object:
    return (container.get("state") or {}).get("waiting") or {}


def _pods(cluster: Cluster, obj: Object) -> list[Object]:
    if kind_of(obj) == "Pod":
        return [obj]
    selector = ((obj.get("spec") or {}).get("selector") or {}).get("matchLabels") or {}
    if not selector:
        return []
    labels = ",".join(f"{key}={value}" for key, value in selector.items())
    pods = cluster.list("v1", "Pod", namespace_of(obj), labelSelector=labels)
    return sorted(pods, key=lambda pod: str(metadata(pod).get("creationTimestamp")), reverse=True)


def _pod_findings(cluster: Cluster, pod: Object) -> Iterator[str]:
    status = pod.get("status") or {}
    prefix = f"[Pod {namespace_of(pod)}/{name_of(pod)}]"
    if status.get("reason") or status.get("message"):
        yield f"{prefix}: [{status.get('reason', '')}] {status.get('message', '')}"
    for condition in status.get("conditions") or []:
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            yield f"{prefix}: [{condition.get('reason', '')}] {condition.get('message', '')}"
    failing = False
    for container in _containers(pod):
        line = _container_finding(container)
        if line:
            failing = True
            yield f"{prefix}: container {container['name']}: {line}"
            yield from _log(cluster, pod, container, prefix)
    if not failing or status.get("phase") == "Pending":
        yield from _events(cluster, pod)


def _container_finding(container: Object) -> str:
    state = container.get("state") or {}
    for terminated in (state.get("terminated"), (container.get("lastState") or {}).get("terminated")):
        if terminated and (terminated.get("exitCode") or terminated.get("reason") not in (None, "Completed")):
            message = f": {terminated['message'].strip()}" if terminated.get("message") else ""
            return f"[{terminated.get('reason', 'Terminated')}] exit status {terminated.get('exitCode')}{message}"
    if waiting := _waiting(container):
        return f"[{waiting.get('reason', 'Waiting')}] {waiting.get('message', '')}".rstrip()
    return "not ready" if state.get("running") and not container.get("ready") else ""


def _log(cluster: Cluster, pod: Object, container: Object, prefix: str) -> Iterator[str]:
    """The last lines of the container, of the run before when it was restarted."""
    running_again = bool(container.get("restartCount")) and "terminated" not in (container.get("state") or {})
    query = {"container": container["name"], "tailLines": str(LOG_LINES)}
    if running_again:
        query["previous"] = "true"
    try:
        text = cluster.text(f"{cluster.path(pod)}/log", query)
    except ProviderFault:
        return  # never started, or its node does not answer
    for line in text.splitlines():
        yield f"{prefix}: {container['name']} | {line}"


def _events(cluster: Cluster, obj: Object) -> Iterator[str]:
    selector = f"involvedObject.uid={metadata(obj).get('uid')},type=Warning"
    events = cluster.list("v1", "Event", namespace_of(obj), fieldSelector=selector)
    events.sort(key=lambda event: str(event.get("lastTimestamp") or event.get("eventTime") or ""))
    for event in events[-_MOST_EVENTS:]:
        yield f"[{kind_of(obj)} {namespace_of(obj)}/{name_of(obj)}]: [{event.get('reason')}] {event.get('message')}"
