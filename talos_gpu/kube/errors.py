"""Everything that talos_gpu.kube raises on purpose.

TalosGpuError
├── KubeError
│   ├── ClusterUnreachable  the API server did not answer, or not as one
│   ├── ClusterRefused      the API server answered with an error
│   ├── NodeNotReady        the node did not reach the wanted state in time; says what was last seen
│   ├── PodNotFound
│   ├── ExecFailed          the command was not run (one that ran and failed is a result, not an error)
│   ├── StillEncoding       an encode still runs on a node that is to restart
│   ├── NotDrained          pods could not be evicted from a node that is to restart
│   │   └── PodsUnowned     and are not evicted, because nothing would make them again
│   └── ImageNotPulled      an image could not be had before a node's restart
└── UsageError
    └── KubeconfigInvalid
"""

from __future__ import annotations

from collections.abc import Sequence

from talos_gpu.errors import TalosGpuError, UsageError


class KubeError(TalosGpuError):
    """Something about the cluster failed."""


class KubeconfigInvalid(UsageError):
    """The kubeconfig cannot be used."""

    def __init__(self, origin: str, reason: str) -> None:
        super().__init__(
            f"kubeconfig {origin} cannot be used: {reason}",
            remedy="set kubeconfig in the stack, or KUBECONFIG in the environment, to the file's path",
        )


class ClusterUnreachable(KubeError):
    """The API server could not be talked to; `detail` is the cause."""

    def __init__(self, server: str, detail: str) -> None:
        super().__init__(
            f"the Kubernetes API at {server}: {detail}",
            remedy="check that the control plane is up and that the kubeconfig is this cluster's",
        )
        self.detail = detail


class ClusterRefused(KubeError):
    """The API server answered with an error; `status` is HTTP's."""

    def __init__(self, what: str, status: int, detail: str) -> None:
        remedy = "the kubeconfig's user lacks a right, or its credentials have expired" if status in {401, 403} else ""
        super().__init__(f"{what}: {status} {detail}", remedy=remedy)
        self.status = status


class NodeNotReady(KubeError):
    """The node did not become what was waited for within `seconds`; `last_seen` is a sentence."""

    def __init__(self, name: str, seconds: float, last_seen: str) -> None:
        super().__init__(
            f"node {name} was not ready within {seconds:g} s; last seen: {last_seen}",
            remedy=f"kubectl describe node {name}; talosctl services kubelet",
        )
        self.last_seen = last_seen


class PodNotFound(KubeError):
    """No such pod."""

    def __init__(self, namespace: str, name: str) -> None:
        super().__init__(f"no pod {name} in namespace {namespace}")


class ExecFailed(KubeError):
    """The command was not run in the pod, or its end is not known."""

    def __init__(self, namespace: str, name: str, detail: str) -> None:
        super().__init__(
            f"exec in pod {namespace}/{name}: {detail}", remedy=f"kubectl -n {namespace} describe pod {name}"
        )


class StillEncoding(KubeError):
    """Work was still going on after `seconds`; `what`, a node or its worker, was not restarted."""

    def __init__(self, what: str, seconds: float, seen: str) -> None:
        super().__init__(
            f"{what} was not restarted: after {seconds:g} s there still ran {seen}",
            remedy="pause the worker in Tdarr and run `pulumi up` again, or set "
            "machine.before_restart.on_deadline: continue, which restarts it all the same",
        )


class NotDrained(KubeError):
    """Pods stayed on the node; it was not restarted."""

    def __init__(self, node: str, seconds: float, pods: Sequence[str], why: str) -> None:
        super().__init__(
            f"{node} was not restarted: after {seconds:g} s {', '.join(pods)} could not be evicted: {why}",
            remedy="see what their PodDisruptionBudget waits for (kubectl get pdb -A), or set "
            "machine.before_restart.drain: false",
        )


class PodsUnowned(NotDrained):
    """Pods on the node have no controller; nothing was evicted, and it was not restarted."""

    def __init__(self, node: str, pods: Sequence[str]) -> None:
        KubeError.__init__(
            self,
            f"{node} was not restarted: {', '.join(pods)} would be gone for good: a drain evicts only what a "
            "controller makes again, and nothing was evicted",
            remedy="delete them, or make them by a Deployment or Job; or set machine.before_restart.drain: false",
        )


class ImageNotPulled(KubeError):
    """The image is not on the node, and could not be pulled; the node was not restarted."""

    def __init__(self, node: str, image: str, why: str) -> None:
        super().__init__(
            f"{node} was not restarted: its pods would not come back, image {image} could not be pulled: {why}",
            remedy="correct the image in the stack, or set machine.before_restart.pull_images: false",
        )
