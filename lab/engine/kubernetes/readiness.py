"""When an object counts as ready, by kind (provider/pkg/await; DaemonSet and StatefulSet as kstatus has it)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from lab.engine.kubernetes.objects import SKIP_AWAIT, is_true, kind_of, metadata, name_of, namespace_of, qualified
from lab.engine.kubernetes.wire import Object

DEFAULT_TIMEOUT = 600.0
"""Seconds; Job, DaemonSet, Deployment and most others."""

_TIMEOUTS = {"PersistentVolumeClaim": 300.0, "PersistentVolume": 300.0, "StatefulSet": 600.0, "Pod": 600.0}
_JOB_FAILURES = frozenset(("BackoffLimitExceeded", "DeadlineExceeded"))


class Lister(Protocol):
    """What looking at an object's surroundings needs of a client."""

    def list(self, api_version: str, kind: str, namespace: str, **selectors: str) -> list[Object]:
        """Objects of a kind in a namespace."""

    def get(self, obj: Object) -> Object:
        """An object as it is now."""


@dataclass(frozen=True, slots=True)
class State:
    """What an object waits for; ready when `waiting` is empty, beyond hope when `failed` is set."""

    waiting: str = ""
    problems: Sequence[str] = field(default_factory=tuple)
    failed: bool = False

    @property
    def ready(self) -> bool:
        """Nothing left to wait for."""
        return not self.waiting and not self.failed


READY = State()


def default_timeout(obj: Object) -> float:
    """Seconds to wait unless the resource says otherwise."""
    return _TIMEOUTS.get(kind_of(obj), DEFAULT_TIMEOUT)


def state_of(obj: Object, lister: Lister) -> State:
    """Whether the object is ready now."""
    check = _CHECKS.get(kind_of(obj))
    if check is None or is_true(obj, SKIP_AWAIT):
        return READY
    return check(obj, lister)


def job_complete(obj: Object) -> bool:
    """Started and with condition Complete."""
    return bool(_status(obj).get("startTime")) and _conditions(obj).get("Complete", {}).get("status") == "True"


def _status(obj: Object) -> Object:
    return obj.get("status") or {}


def _spec(obj: Object) -> Object:
    return obj.get("spec") or {}


def _conditions(obj: Object) -> dict[str, Object]:
    return {condition["type"]: condition for condition in _status(obj).get("conditions") or []}


def _said(condition: Object) -> str:
    return f"[{condition.get('reason', '')}] {condition.get('message', '')}"


def _unobserved(obj: Object) -> bool:
    return int(_status(obj).get("observedGeneration") or 0) < int(metadata(obj).get("generation") or 0)


def _job(obj: Object, _: Lister) -> State:
    status, failed = _status(obj), _conditions(obj).get("Failed", {})
    if failed.get("status") == "True":
        # other reasons (PodFailurePolicy, ...) are waited out, as by the official plugin (checker/job/check.go)
        return State("the Job failed", [_said(failed)], failed=failed.get("reason") in _JOB_FAILURES)
    if not status.get("startTime"):
        return State(f'Waiting for Job "{qualified(obj)}" to start')
    if not job_complete(obj):
        counts = " | ".join(f"{word.capitalize()}: {status.get(word, 0)}" for word in ("active", "succeeded", "failed"))
        return State(f'Waiting for Job "{qualified(obj)}" to succeed ({counts})')
    return READY


def _daemon_set(obj: Object, _: Lister) -> State:
    status = _status(obj)
    if _unobserved(obj) or "desiredNumberScheduled" not in status:
        return State("the controller has not seen this generation yet")
    desired = int(status["desiredNumberScheduled"])  # 0 is ready: no node fits
    for word, count in (
        ("scheduled", status.get("currentNumberScheduled", 0)),
        ("updated", status.get("updatedNumberScheduled", 0)),
        ("available", status.get("numberAvailable", 0)),
        ("ready", status.get("numberReady", 0)),
    ):
        if int(count) < desired:
            return State(f"{word.capitalize()}: {count}/{desired}")
    return READY


def _deployment(obj: Object, lister: Lister) -> State:
    if _unobserved(obj):
        return State("the controller has not seen this generation yet")
    conditions = _conditions(obj)
    problems = [
        _said(conditions[name])
        for name in ("Progressing", "Available", "ReplicaFailure")
        if name in conditions and (conditions[name]["status"] == "True") == (name == "ReplicaFailure")
    ]
    revision = (metadata(obj).get("annotations") or {}).get("deployment.kubernetes.io/revision", "")
    current = _replica_set(obj, revision, lister)
    if current is None:
        return State("the controller has not made a ReplicaSet yet", problems)
    wanted, ready = int(_spec(current).get("replicas", 1)), int(_status(current).get("readyReplicas") or 0)
    if ready < wanted:
        return State(f"Waiting for app ReplicaSet to be available ({ready}/{wanted} Pods available)", problems)
    if conditions.get("Available", {}).get("status") != "True":
        return State("Minimum number of live Pods was not attained", problems)
    progressing = conditions.get("Progressing", {})
    if revision != "1" and (progressing.get("status"), progressing.get("reason")) != ("True", "NewReplicaSetAvailable"):
        return State(
            "Attempted to roll forward to new ReplicaSet, but minimum number of Pods did not become live", problems
        )
    unbound = _unbound_claims(obj, lister)
    return State(f"Failed to bind PersistentVolumeClaim(s): {', '.join(unbound)}", problems) if unbound else READY


def _replica_set(deployment: Object, revision: str, lister: Lister) -> Object | None:
    uid = metadata(deployment).get("uid")
    for one in lister.list("apps/v1", "ReplicaSet", namespace_of(deployment)):
        meta = metadata(one)
        owners = {owner.get("uid") for owner in meta.get("ownerReferences") or []}
        if uid in owners and (meta.get("annotations") or {}).get("deployment.kubernetes.io/revision") == revision != "":
            return one
    return None


def _unbound_claims(deployment: Object, lister: Lister) -> list[str]:
    volumes = _spec(_spec(deployment).get("template") or {}).get("volumes") or []
    used = {volume["persistentVolumeClaim"]["claimName"] for volume in volumes if "persistentVolumeClaim" in volume}
    if not used:
        return []
    claims = lister.list("v1", "PersistentVolumeClaim", namespace_of(deployment))
    return sorted(name_of(one) for one in claims if name_of(one) in used and _status(one).get("phase") != "Bound")


def _stateful_set(obj: Object, _: Lister) -> State:
    status, wanted = _status(obj), int(_spec(obj).get("replicas", 1))
    if _unobserved(obj):
        return State("the controller has not seen this generation yet")
    for word, count in (("ready", status.get("readyReplicas", 0)), ("updated", status.get("updatedReplicas", 0))):
        if int(count) < wanted:
            return State(f"{word.capitalize()}: {count}/{wanted}")
    return READY if status.get("currentRevision") == status.get("updateRevision") else State("rolling out a revision")


def _pod(obj: Object, _: Lister) -> State:
    if _status(obj).get("phase") == "Succeeded" or _conditions(obj).get("Ready", {}).get("status") == "True":
        return READY
    return State(f"the Pod is {_status(obj).get('phase', 'not scheduled yet')}")


def _claim(obj: Object, lister: Lister) -> State:
    if _status(obj).get("phase") == "Bound":
        return READY
    storage_class = _spec(obj).get("storageClassName")
    if storage_class:
        found = [one for one in lister.list("storage.k8s.io/v1", "StorageClass", "") if name_of(one) == storage_class]
        if found and found[0].get("volumeBindingMode") == "WaitForFirstConsumer":
            return READY  # it binds when a pod uses it
    return State(f"PersistentVolumeClaim is {_status(obj).get('phase', 'new')}")


def _volume(obj: Object, _: Lister) -> State:
    phase = _status(obj).get("phase", "new")
    return READY if phase in ("Available", "Bound") else State(f"PersistentVolume is {phase}")


def _service(obj: Object, lister: Lister) -> State:
    spec = _spec(obj)
    if spec.get("type") == "LoadBalancer" and not (_status(obj).get("loadBalancer") or {}).get("ingress"):
        return State("Service was not allocated an IP address; does your cloud provider support this?")
    if spec.get("type") == "ExternalName" or not spec.get("selector") or spec.get("clusterIP") == "None":
        return READY
    label = f"kubernetes.io/service-name={name_of(obj)}"
    for one in lister.list("discovery.k8s.io/v1", "EndpointSlice", namespace_of(obj), labelSelector=label):
        if any((point.get("conditions") or {}).get("ready", True) for point in one.get("endpoints") or []):
            return READY
    return State("Service does not target any Pods")


_CHECKS: dict[str, Callable[[Object, Lister], State]] = {
    "Job": _job,
    "DaemonSet": _daemon_set,
    "Deployment": _deployment,
    "StatefulSet": _stateful_set,
    "Pod": _pod,
    "PersistentVolumeClaim": _claim,
    "PersistentVolume": _volume,
    "Service": _service,
}
