"""TdarrNode: the Tdarr worker on the node's GPU."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_kubernetes as k8s

from components.names import SPEC_DIGEST, WORKER, labels, object_name, placement
from components.ordering import waits
from components.volumes import mounts, pod_volumes
from talos_gpu.kube.takeover import MANAGER
from talos_gpu.settings import Tdarr
from talos_gpu.settings.tdarr import PersistentVolumeClaim

_ADOPTING = {"pulumi.com/patchFieldManager": MANAGER, "pulumi.com/patchForce": "true"}


@dataclass(frozen=True, slots=True)
class TdarrNodeArgs:
    """What TdarrNode needs."""

    node: str
    tdarr: Tdarr
    visible_devices: str
    runtime_class: pulumi.Input[str] | None
    """None: containerd's default runtime injects the GPU."""
    spec_sha256: pulumi.Input[str] | None
    """A new spec restarts the worker; None where there is no spec of ours."""
    shared: k8s.Provider
    """For the namespace, which may be there already."""
    adopt: bool = False
    """Whether a Deployment that was made by hand may be there: ours then owns its fields, and drops what it has not."""


class TdarrNode(pulumi.ComponentResource):
    """A Deployment with one pod, pinned to the node; with its namespace and claims where the stack makes them.

    It only dials out, so it has no Service. Recreate: two workers of one name must not report to one server.
    """

    deployment: k8s.apps.v1.Deployment
    name: str
    namespace: str

    def __init__(self, name: str, args: TdarrNodeArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("talos-nvidia-cdi:components:TdarrNode", name, None, opts)
        depends_on = waits(opts)
        self.name = args.tdarr.name or object_name(WORKER, args.node)
        self.namespace = args.tdarr.namespace.name
        places: list[pulumi.Resource] = []
        if args.tdarr.namespace.create:
            places.append(self._make_namespace(name, args))
        claims = [
            self._make_claim(name, volume.pvc, places)
            for volume in args.tdarr.volumes
            if volume.pvc is not None and volume.pvc.size is not None
        ]
        self.deployment = k8s.apps.v1.Deployment(
            f"{name}-deployment",
            metadata=k8s.meta.v1.ObjectMetaArgs(
                name=self.name,
                namespace=self.namespace,
                labels=labels(WORKER, args.node),
                annotations=_ADOPTING if args.adopt else None,
            ),
            spec=k8s.apps.v1.DeploymentSpecArgs(**deployment_spec(args, self.name)),
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=[*depends_on, *places, *claims],
                custom_timeouts=pulumi.CustomTimeouts(create="15m", update="15m"),  # the image has more than 1 GB
            ),
        )
        self.register_outputs({"deployment": self.deployment.metadata.name, "namespace": self.namespace})

    def _make_namespace(self, name: str, args: TdarrNodeArgs) -> k8s.core.v1.Namespace:
        level = args.tdarr.namespace.pod_security
        security = {"pod-security.kubernetes.io/enforce": level} if level else {}
        return k8s.core.v1.Namespace(
            f"{name}-namespace",
            metadata={"name": self.namespace, "labels": security},
            opts=pulumi.ResourceOptions(parent=self, provider=args.shared, retain_on_delete=True),
        )

    def _make_claim(
        self, name: str, claim: PersistentVolumeClaim, places: list[pulumi.Resource]
    ) -> k8s.core.v1.PersistentVolumeClaim:
        return k8s.core.v1.PersistentVolumeClaim(
            f"{name}-claim-{claim.claim}",
            # a class that binds for the first pod would never bind before the Deployment: do not wait
            metadata=k8s.meta.v1.ObjectMetaArgs(
                name=claim.claim, namespace=self.namespace, annotations={"pulumi.com/skipAwait": "true"}
            ),
            spec=k8s.core.v1.PersistentVolumeClaimSpecArgs(
                access_modes=[claim.access_mode],
                resources=k8s.core.v1.VolumeResourceRequirementsArgs(requests={"storage": str(claim.size)}),
                storage_class_name=claim.storage_class,
            ),
            opts=pulumi.ResourceOptions(parent=self, depends_on=places, retain_on_delete=True),
        )


def environment(args: TdarrNodeArgs, name: str) -> dict[str, str]:
    """The container's environment."""
    return {
        "serverURL": args.tdarr.server_url,
        "nodeName": args.tdarr.node_name or name,
        "inContainer": "true",
        "ffmpegVersion": args.tdarr.ffmpeg_version,
        "NVIDIA_VISIBLE_DEVICES": args.tdarr.visible_devices or args.visible_devices,
        "NVIDIA_DRIVER_CAPABILITIES": args.tdarr.driver_capabilities,
    }


def deployment_spec(args: TdarrNodeArgs, name: str) -> dict[str, Any]:
    """The Deployment's spec."""
    tdarr = args.tdarr
    container: dict[str, Any] = {
        "name": "tdarr-node",
        "image": tdarr.image,
        "image_pull_policy": "IfNotPresent",
        "env": [{"name": key, "value": value} for key, value in environment(args, name).items()],
        "volume_mounts": mounts(tdarr.volumes),
    }
    if tdarr.resources.requests or tdarr.resources.limits:
        container["resources"] = {"requests": tdarr.resources.requests, "limits": tdarr.resources.limits}
    if tdarr.readiness == "nvidia-smi":
        container["readiness_probe"] = {
            "exec_": {"command": ["nvidia-smi", "-L"]},
            "period_seconds": 30,
            "timeout_seconds": 20,  # without persistence mode the driver initialises the GPU for each call
            "failure_threshold": 3,
        }
    pod: dict[str, Any] = {
        **placement(args.node),
        "automount_service_account_token": False,
        "enable_service_links": False,
        "containers": [container],
        "volumes": pod_volumes(tdarr.volumes),
    }
    if args.runtime_class is not None:
        pod["runtime_class_name"] = args.runtime_class
    if tdarr.supplemental_groups:
        pod["security_context"] = {"supplemental_groups": list(tdarr.supplemental_groups)}
    annotations = {SPEC_DIGEST: args.spec_sha256} if args.spec_sha256 is not None else {}
    return {
        "replicas": 1,
        "strategy": {"type": "Recreate"},
        "selector": {"match_labels": labels(WORKER, args.node)},
        "template": {"metadata": {"labels": labels(WORKER, args.node), "annotations": annotations}, "spec": pod},
    }
