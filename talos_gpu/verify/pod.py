"""Commands in a pod: the stack's running worker, or a throwaway pod with the same GPU."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from typing_extensions import override

from talos_gpu.kube.cluster import Cluster
from talos_gpu.kube.errors import KubeError
from talos_gpu.kube.states import PodState, pod_state
from talos_gpu.verify.errors import ContainerLost, NoWorker, NoWorkerWanted, PodStuck
from talos_gpu.verify.said import Container, Said
from talos_gpu.verify.subject import WORKER_APP, Subject

NODE_LABEL = "talos-nvidia-cdi/node"
THROWAWAY_APP = "talos-gpu-verify"
_POLL = 0.25
_HOPELESS = (
    "ErrImageNeverPull",
    "InvalidImageName",
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
)
_LIFETIME = 900
"""Seconds after which a throwaway pod ends by itself, should nobody be left to delete it."""
_NOBODY = 65534
_NO_PROGRAM = "executable file not found"


@dataclass(frozen=True, slots=True)
class PodContainer(Container):
    """A container of a running pod, by exec."""

    cluster: Cluster
    namespace: str
    name: str
    container: str | None = None

    @override
    async def run(self, command: Sequence[str], seconds: float) -> Said:
        started = time.monotonic()
        try:
            result = await self.cluster.exec_in_pod(
                self.namespace, self.name, command, container=self.container, seconds=seconds
            )
        except KubeError as error:
            if _NO_PROGRAM in error.message:
                return Said(tuple(command), 127, "", error.message, time.monotonic() - started)
            raise ContainerLost(error.message, remedy=error.remedy) from None
        return Said(tuple(command), result.rc, result.stdout, result.stderr, time.monotonic() - started)


async def worker(cluster: Cluster, subject: Subject) -> PodContainer:
    """The stack's running worker. Raises NoWorker, and the cluster's errors."""
    node, namespace = subject.node, subject.namespace
    if namespace is None:
        raise NoWorkerWanted(node)
    pods = await cluster.pods(f"app={WORKER_APP},{NODE_LABEL}={node}", namespace)
    running = [pod for pod in pods if pod.phase == "Running" and not pod.waiting and not pod.ending]
    if not running:
        raise NoWorker(namespace, WORKER_APP, node, _states(pods))
    return PodContainer(cluster, namespace, running[0].name)


def _states(pods: Sequence[PodState]) -> str:
    if not pods:
        return "there is none"
    return "; ".join(f"{pod.name} is {pod.phase}{_but(pod)}" for pod in pods)


def _but(pod: PodState) -> str:
    why = "being deleted" if pod.ending else pod.waiting
    return f" ({why})" if why else ""


@contextlib.asynccontextmanager
async def throwaway(
    cluster: Cluster, subject: Subject, image: str, seconds: float, note: Callable[[str], None]
) -> AsyncIterator[PodContainer]:
    """A pod that gets the GPU as the worker does and may do nothing else; deleted at the end, whatever happens.

    `note` is told where it could not be deleted, which takes nothing from what was done in it. Raises PodStuck where it
    does not run within `seconds`, and the cluster's errors.
    """
    namespace = subject.namespace or "default"
    manifest = throwaway_manifest(subject, image, f"{THROWAWAY_APP}-{secrets.token_hex(3)}", namespace)
    collection, name = f"/api/v1/namespaces/{namespace}/pods", manifest["metadata"]["name"]
    await cluster.create(collection, manifest)
    try:
        await _running(cluster, namespace, name, seconds)
        yield PodContainer(cluster, namespace, name)
    finally:
        try:
            await cluster.delete(f"{collection}/{name}")
        except KubeError as error:
            note(
                f"the throwaway pod could not be deleted ({error.message}); it ends by itself within {_LIFETIME} s, "
                f"then: kubectl delete pod -n {namespace} {name}"
            )


async def _running(cluster: Cluster, namespace: str, name: str, seconds: float) -> None:
    seen = "nothing"
    try:
        async with asyncio.timeout(seconds):
            while True:
                found = await cluster.fetch(f"/api/v1/namespaces/{namespace}/pods/{name}")
                state = pod_state(found) if found is not None else None
                seen = "it is gone" if state is None else state.waiting or state.phase
                if state is not None and state.phase == "Running" and not state.waiting:
                    return
                if state is None or state.phase == "Failed" or state.waiting.startswith(_HOPELESS):
                    break
                await asyncio.sleep(_POLL)
    except TimeoutError:
        pass
    events = await cluster.pod_events(namespace, name)
    warned = [event.message for event in events if event.type == "Warning"]
    raise PodStuck(namespace, name, seconds, f"{seen}; {warned[-1]}" if warned else seen)


def throwaway_manifest(subject: Subject, image: str, name: str, namespace: str) -> dict[str, Any]:
    """The pod: placed and given the GPU as the worker is; passes PodSecurity level restricted."""
    container: Mapping[str, Any] = {
        "name": "verify",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["sleep", str(_LIFETIME)],
        "env": [
            {"name": "NVIDIA_VISIBLE_DEVICES", "value": subject.visible_devices},
            {"name": "NVIDIA_DRIVER_CAPABILITIES", "value": subject.driver_capabilities},
        ],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "runAsNonRoot": True,
            "runAsUser": _NOBODY,
            "runAsGroup": _NOBODY,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }
    spec: dict[str, Any] = {
        "restartPolicy": "Never",
        "activeDeadlineSeconds": _LIFETIME,
        "terminationGracePeriodSeconds": 0,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "nodeSelector": {"kubernetes.io/hostname": subject.node},
        "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}],
        "containers": [dict(container)],
    }
    if subject.runtime_class is not None:
        spec["runtimeClassName"] = subject.runtime_class
    metadata = {"name": name, "namespace": namespace, "labels": {"app": THROWAWAY_APP, NODE_LABEL: subject.node}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
