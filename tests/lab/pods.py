"""Pods of the tests' own, and the installer sent away for a while."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from lab import kubectl
from tests.lab.conftest import MainJob, wait_for


@contextmanager
def without_installer(job: MainJob) -> Iterator[None]:
    """The DaemonSet selects no node for a while."""
    daemon_set = ("-n", "kube-system", f"daemonset/nvidia-cdi-init-{job.node.name}")
    away = json.dumps({"spec": {"template": {"spec": {"nodeSelector": {"away": "yes"}}}}})
    back = json.dumps([{"op": "remove", "path": "/spec/template/spec/nodeSelector/away"}])
    kubectl.kubectl(job.lab, "patch", *daemon_set, "--type=merge", "-p", away)
    try:
        wait_for("the installer is gone", lambda: not job.installer_pods())
        yield
    finally:
        kubectl.kubectl(job.lab, "patch", *daemon_set, "--type=json", "-p", back)
        wait_for("the installer is ready again", job.installer_ready)


def why_it_fails(job: MainJob, name: str, **spec: Any) -> str:
    """The event by which the kubelet says why a GPU pod does not start."""
    env = [{"name": "NVIDIA_VISIBLE_DEVICES", "value": "all"}]
    start_pod(job, name, {"image": "lab.local/node-tools:1", "command": ["true"], "env": env}, gpu=True, **spec)
    selector = f"involvedObject.name={name}"

    def failure() -> str:
        events = kubectl.get(job.lab, "events", "-n", "media", "--field-selector", selector)["items"]
        return "\n".join(event["message"] for event in events if "failed to create" in event["message"])

    try:
        return wait_for(f"pod {name} fails to start", failure)
    finally:
        kubectl.kubectl(job.lab, "delete", "pod", "-n", "media", name, "--grace-period=0", "--force")


def start_pod(
    job: MainJob,
    name: str,
    container: Mapping[str, Any],
    *,
    gpu: bool = False,
    namespace: str = "media",
    **spec: Any,
) -> None:
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "restartPolicy": "Never",
            "nodeName": job.node.name,
            "tolerations": [{"operator": "Exists"}],
            "containers": [{"name": "c", **container}],
            **({"runtimeClassName": "nvidia-cdi"} if gpu else {}),
            **spec,
        },
    }
    kubectl.kubectl(job.lab, "apply", "-f", "-", stdin=json.dumps(pod))


def run_pod(job: MainJob, name: str, container: Mapping[str, Any], *, gpu: bool = False, **spec: Any) -> str:
    """Run a pod to its end and return its log."""
    start_pod(job, name, container, gpu=gpu, **spec)
    try:
        wait_for(
            f"pod {name} ends",
            lambda: kubectl.get(job.lab, "pod", "-n", "media", name)["status"].get("phase") in ("Succeeded", "Failed"),
        )
        return kubectl.kubectl(job.lab, "logs", "-n", "media", name)
    finally:
        kubectl.kubectl(job.lab, "delete", "pod", "-n", "media", name, "--grace-period=0", "--force")
