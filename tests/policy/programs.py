"""Resources that break a policy, and their like that do not: name -> (type, properties)."""

from __future__ import annotations

import copy
from typing import Any

DIGEST = "@sha256:" + "1" * 64
IMAGE = f"lab.local/x:1{DIGEST}"
Resource = tuple[str, dict[str, Any]]


def pod(**changes: Any) -> dict[str, Any]:
    container = {"name": "c", "image": IMAGE, **changes.pop("container", {})}
    return {"containers": [container], **changes}


def workload(kind: str, name: str, spec: dict[str, Any], namespace: str = "media", **more: Any) -> Resource:
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": spec}
    if kind == "Job":
        spec["restartPolicy"] = "Never"
        body = {"template": template, **more}
    else:
        body = {"selector": {"matchLabels": labels}, "template": template, **more}
    group = "batch/v1" if kind == "Job" else "apps/v1"
    metadata = {"name": name, "namespace": namespace}
    return f"kubernetes:{group}:{kind}", {"apiVersion": group, "kind": kind, "metadata": metadata, "spec": body}


def payload(path: str) -> Resource:
    text = f"cdiVersion: 0.5.0\ncontainerEdits:\n  hooks:\n  - args:\n    - x\n    hookName: y\n    path: {path}\n"
    metadata = {"name": "payload", "namespace": "kube-system"}
    document = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"nvidia.yaml": text}}
    return "kubernetes:core/v1:ConfigMap", document


def runtime_class(**more: Any) -> Resource:
    document = {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": "nvidia-cdi"}, **more}
    return "kubernetes:node.k8s.io/v1:RuntimeClass", {**document, "handler": "nvidia-cdi"}


def config_map(value: str) -> Resource:
    document = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", "namespace": "media"}}
    return "kubernetes:core/v1:ConfigMap", {**document, "data": {"x": value}}


LIMITED = {"resources": {"limits": {"memory": "64Mi"}}}
ENDS = {"activeDeadlineSeconds": 60, "backoffLimit": 0}
PRIVILEGED = {"securityContext": {"privileged": True}}
GPU = {"env": [{"name": "NVIDIA_VISIBLE_DEVICES", "value": "all"}]}
SELECTOR = {"scheduling": {"nodeSelector": {"node.kubernetes.io/gpu-vendor": "nvidia"}}}
REAL, WRAPPED = "/usr/local/bin/nvidia-cdi-hook.real", "/usr/local/bin/nvidia-cdi-hook"


def volume(**more: Any) -> dict[str, Any]:
    return {"volumes": [{"name": "host", "hostPath": {"path": "/var/x", **more}}]}


BROKEN: dict[str, dict[str, Resource]] = {
    "privileged-by-name": {
        "privileged": workload("Deployment", "p", pod(container=PRIVILEGED)),
        "host-pid": workload("Deployment", "h", pod(hostPID=True)),
        "host-path": workload("Deployment", "v", pod(**volume())),
        "right-name-elsewhere": workload("DaemonSet", "nvidia-cdi-init-a", pod(container=PRIVILEGED)),
    },
    "images-by-digest": {"loose": workload("Deployment", "l", pod(container={"image": "lab.local/other:1"}))},
    "images-to-pin": {"known": workload("Deployment", "k", pod(container={"image": "lab.local/node-tools:1"}))},
    "no-gpu-by-default": {"gpu": workload("Deployment", "g", pod(container=GPU))},
    "hook-paths": {"spec": payload(WRAPPED)},
    "runtime-class-on-gpu-nodes": {"class": runtime_class()},
    "job-limits": {"endless": workload("Job", "e", pod())},
    "no-host-path-type": {"typed": workload("Deployment", "t", pod(**volume(type="Directory")))},
    "secrets-marked": {"key": config_map("-----BEGIN EC PRIVATE KEY-----\nx\n-----END EC PRIVATE KEY-----\n")},
    "destroy-protection": {"unprotected": config_map("1")},
}
PASSING: dict[str, Resource] = {
    "generator": workload(
        "Job", "nvidia-cdi-generator-a", pod(container={**PRIVILEGED, **LIMITED}, hostPID=True), "kube-system", **ENDS
    ),
    "installer": workload("DaemonSet", "nvidia-cdi-init-a", pod(container=PRIVILEGED, **volume()), "kube-system"),
    "worker": workload("Deployment", "w", pod(container=GPU, runtimeClassName="nvidia-cdi")),
    "spec": payload(REAL),
    "class": runtime_class(**SELECTOR),
    "certificate": config_map("-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n"),
    "allowed": workload("Deployment", "allowed", pod(**volume())),
}


def program(resources: dict[str, Resource], *, release: str, default_runtime: bool, protect: bool) -> str:
    """A program that declares these resources after its MachineState, as ours does."""
    return f"""
import pulumi
from pulumi.dynamic import CreateResult, Resource, ResourceProvider


class Provider(ResourceProvider):
    def create(self, props):
        return CreateResult("state", props)


class MachineState(Resource, module="talos", name="MachineState"):
    pass


state = MachineState(Provider(), "state", {{"release": {release!r}, "default_runtime": {default_runtime}}})
for name, (kind, props) in {copy.deepcopy(resources)!r}.items():
    options = pulumi.ResourceOptions(version="4.34.2", protect={protect}, depends_on=[state])
    pulumi.CustomResource(kind, name, props, options)
"""
