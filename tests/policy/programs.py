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


def payload(path: str, text: str = "") -> Resource:
    text = (
        text or f"cdiVersion: 0.5.0\ncontainerEdits:\n  hooks:\n  - args:\n    - x\n    hookName: y\n    path: {path}\n"
    )
    metadata = {"name": "payload", "namespace": "kube-system"}
    document = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"nvidia.yaml": text}}
    return "kubernetes:core/v1:ConfigMap", document


def runtime_class(**more: Any) -> Resource:
    document = {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": "nvidia-cdi"}, **more}
    return "kubernetes:node.k8s.io/v1:RuntimeClass", {**document, "handler": "nvidia-cdi"}


def config_map(value: Any) -> Resource:
    document = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", "namespace": "media"}}
    return "kubernetes:core/v1:ConfigMap", {**document, "data": {"x": value}}


def marked(value: Any) -> dict[str, Any]:
    """A value that the program marks secret."""
    return {"marked": value}


def secret(data: Any) -> Resource:
    document = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "x", "namespace": "media"}}
    return "kubernetes:core/v1:Secret", {**document, "data": data}


def applied(config: Any, client: Any) -> Resource:
    inputs = {"node": "192.0.2.5", "clientConfigurationWo": client, "machineConfigurationInput": config}
    return "talos:machine/configurationApply:ConfigurationApply", inputs


def env(name: str, value: Any) -> Resource:
    return workload("Deployment", "e", pod(container={"env": [{"name": name, "value": value}]}))


def patch_of(made: Resource) -> Resource:
    kind, document = made
    return f"{kind}Patch", document


def cron_job(spec: dict[str, Any]) -> Resource:
    job = {"template": {"spec": {**spec, "restartPolicy": "Never"}}}
    document = {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "c", "namespace": "media"}}
    return "kubernetes:batch/v1:CronJob", {**document, "spec": {"schedule": "@daily", "jobTemplate": {"spec": job}}}


def persistent_volume(**host_path: Any) -> Resource:
    spec = {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": host_path}
    document = {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "v"}}
    return "kubernetes:core/v1:PersistentVolume", {**document, "spec": spec}


KEY = "-----BEGIN EC PRIVATE KEY-----\nx\n-----END EC PRIVATE KEY-----\n"
CLIENT = dict.fromkeys(("caCertificate", "clientCertificate", "clientKey"), "bm9uZQ==")
CONFIG = "version: v1alpha1\nmachine:\n  token: canary\n"
DEFAULT = "default_runtime_name = 'nvidia-cdi'"
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
    "no-gpu-by-default": {
        "gpu": workload("Deployment", "g", pod(container=GPU)),
        "part": applied(marked(f"{CONFIG}  files:\n  - content: |\n      {DEFAULT}\n"), marked(CLIENT)),
        "quoted-part": applied(marked(f'{CONFIG}  files:\n  - content: "[x]\\n  {DEFAULT}\\n"\n'), marked(CLIENT)),
    },
    "hook-paths": {
        "spec": payload(WRAPPED),
        "json": payload("", f'{{"containerEdits":{{"hooks":[{{"hookName":"x","path":"{WRAPPED}"}}]}}}}'),
        "flow": payload("", f"containerEdits: {{hooks: [{{hookName: x, path: {WRAPPED}}}]}}\n"),
    },
    "runtime-class-on-gpu-nodes": {
        "class": runtime_class(),
        "other-label": runtime_class(scheduling={"nodeSelector": {"node.kubernetes.io/gpu-vendor": "amd"}}),
    },
    "job-limits": {
        "endless": workload("Job", "e", pod()),
        "null": workload("Job", "n", pod(container=LIMITED), activeDeadlineSeconds=None, backoffLimit=None),
    },
    "no-host-path-type": {
        "typed": workload("Deployment", "t", pod(**volume(type="Directory"))),
    },
    "secrets-marked": {
        "key": config_map(KEY),
        "marked-key": config_map(marked(KEY)),
        "config": applied(CONFIG, marked(CLIENT)),
        "client": applied(marked(CONFIG), CLIENT),
        "secret": secret({"a": marked("eA=="), "b": "eA=="}),
        "env": env("TDARR_API_KEY", "canary"),
    },
    "destroy-protection": {"unprotected": config_map("1")},
}
UNDECLARED: tuple[tuple[str, str, Resource], ...] = (
    ("privileged", "volume", persistent_volume(path="/")),
    ("privileged", "patch", patch_of(workload("Deployment", "p", pod(container=PRIVILEGED)))),
    ("job_limits", "cron", cron_job(pod(container=LIMITED))),
    ("host_path_type", "volume", persistent_volume(path="/var/x", type="Directory")),
)
"""Rule, name, resource that breaks it: of kinds that the lab's stand-in does not declare, judged without engine."""
PASSING: dict[str, Resource] = {
    "generator": workload(
        "Job", "nvidia-cdi-generator-a", pod(container={**PRIVILEGED, **LIMITED}, hostPID=True), "kube-system", **ENDS
    ),
    "installer": workload("DaemonSet", "nvidia-cdi-init-a", pod(container=PRIVILEGED, **volume()), "kube-system"),
    "worker": workload("Deployment", "w", pod(container=GPU, runtimeClassName="nvidia-cdi")),
    "spec": payload(REAL),
    "class": runtime_class(**SELECTOR),
    "config": applied(marked(CONFIG), marked(CLIENT)),
    "secret": secret(marked({"a": "eA=="})),
    "secret-by-value": secret({"a": marked("eA==")}),
    "env": env("TDARR_API_KEY", marked("canary")),
    "no-secret": env("TOKENIZER", "canary"),
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


def made(value):
    if isinstance(value, dict):
        if list(value) == ["marked"]:
            return pulumi.Output.secret(value["marked"])
        return {{key: made(inner) for key, inner in value.items()}}
    return [made(inner) for inner in value] if isinstance(value, list) else value


state = MachineState(Provider(), "state", {{"release": {release!r}, "default_runtime": {default_runtime}}})
for name, (kind, props) in {copy.deepcopy(resources)!r}.items():
    version = "0.8.1" if kind.startswith("talos:") else "4.34.2"
    options = pulumi.ResourceOptions(version=version, protect={protect}, depends_on=[state])
    pulumi.CustomResource(kind, name, made(props), options)
"""
