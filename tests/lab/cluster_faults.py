"""Faults of the cluster: the node object, what the stack made in it, what others made beside."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import yaml

from lab import kubectl
from tests.lab import broken_node as node
from tests.lab.broken_node import INSTALLED
from tests.lab.conftest import MainJob, wait_for
from tests.lab.live_fault import Faults
from tests.lab.pod_faults import IMAGE, SLEEP, VISIBLE
from tests.lab.pods import without_installer

FAULTS = Faults()

# the cluster


@FAULTS.fault("the node has not the GPU's label", "label-missing")
@contextmanager
def _label(job: MainJob) -> Iterator[None]:
    """Away from the machine config too, or Talos would put it back."""
    label = "node.kubernetes.io/gpu-vendor"
    with _machine_config(job, lambda config: config["machine"]["nodeLabels"].pop(label)):
        wait_for("the label is gone", lambda: label not in _node(job)["metadata"]["labels"])
        wait_for("the installer is gone", lambda: not job.installer_pods())
        yield
    wait_for("the label is back", lambda: label in _node(job)["metadata"]["labels"])
    wait_for("the installer is back", job.installer_ready)


def _node(job: MainJob) -> dict[str, Any]:
    found: dict[str, Any] = kubectl.get(job.lab, "node", job.node.name)
    return found


@contextmanager
def _machine_config(job: MainJob, change: Callable[[dict[str, Any]], object]) -> Iterator[None]:
    """Another machine config, applied through the Talos API without a reboot, and back."""
    before = (job.node.state / "state" / "config.yaml").read_text()
    config = yaml.safe_load(before)
    change(config)
    node.apply_config(job, yaml.safe_dump(config))
    try:
        yield
    finally:
        node.apply_config(job, before)


@FAULTS.fault("a taint that nothing tolerates", "taint-untolerated")
@contextmanager
def _taint(job: MainJob) -> Iterator[None]:
    kubectl.kubectl(job.lab, "taint", "node", job.node.name, "dedicated=x:NoSchedule")
    try:
        yield
    finally:
        kubectl.kubectl(job.lab, "taint", "node", job.node.name, "dedicated-")


FAULTS.made("the installer selects another node", "installer-unscheduled", without_installer)


@FAULTS.fault("the installer was deleted", "installer-missing")
@contextmanager
def _no_installer(job: MainJob) -> Iterator[None]:
    with node.deleted(job, "daemonset", "-n", "kube-system", f"nvidia-cdi-init-{job.node.name}"):
        yield
    wait_for("the installer's pods have their owner again", job.installer_ready)


@FAULTS.fault("the installer cannot write: a folder lies where the spec belongs", "installer-failing")
@contextmanager
def _installer(job: MainJob) -> Iterator[None]:
    target, words = job.inside(INSTALLED), f"ERROR: cannot write /var{INSTALLED}"
    said = job.installer_log().count(words)
    target.unlink()
    target.mkdir()
    try:
        wait_for("the installer says so", lambda: job.installer_log().count(words) > said)
        wait_for("the installer is not ready", lambda: not job.installer_ready())
        yield
    finally:
        if target.is_dir():
            target.rmdir()
        wait_for("the installer is ready", job.installer_ready)


@FAULTS.fault("a generator that wants a shell on the host", "generator-failed")
@contextmanager
def _generator(job: MainJob) -> Iterator[None]:
    labels = {"app": "nvidia-cdi-generator", "talos-nvidia-cdi/node": job.node.name}
    script = "nsenter -t 1 -m -- sh -c 'nvidia-ctk cdi generate'"
    spec = {
        "restartPolicy": "Never",
        "nodeName": job.node.name,
        "hostPID": True,
        "containers": [
            {
                "name": "generator",
                "image": "lab.local/node-tools:1",
                "command": ["sh", "-c", script],
                "securityContext": {"privileged": True},
            }
        ],
        "tolerations": [{"operator": "Exists"}],
    }
    name = "nvidia-cdi-generator-by-hand"
    document = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": "kube-system", "labels": labels},
        "spec": {"backoffLimit": 0, "template": {"metadata": {"labels": labels}, "spec": spec}},
    }

    def failed() -> bool:
        found = kubectl.get(job.lab, "job", "-n", "kube-system", name)["status"].get("conditions", ())
        return any(one["type"] == "Failed" for one in found)

    with node.applied(job, document):
        wait_for("the job has failed", failed)
        yield


FAULTS.made(
    "the RuntimeClass was deleted", "runtimeclass-missing", lambda job: node.deleted(job, "runtimeclass", "nvidia-cdi")
)


@FAULTS.fault("a RuntimeClass with a handler that containerd lacks", "runtimeclass-handler")
@contextmanager
def _handler(job: MainJob) -> Iterator[None]:
    other = {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": "nvidia-cdi"}}
    with node.deleted(job, "runtimeclass", "nvidia-cdi"), node.applied(job, {**other, "handler": "nvidia-cdi2"}):
        yield


@FAULTS.fault("PodSecurity refuses a GPU pod", "podsecurity-refuses")
@contextmanager
def _security(job: MainJob) -> Iterator[None]:
    labels = {"app": "refused"}
    container = {"name": "c", "image": IMAGE, "command": SLEEP, "env": [VISIBLE]}
    volumes = [{"name": "dev", "hostPath": {"path": "/dev"}}]
    spec = {"runtimeClassName": "nvidia-cdi", "containers": [container], "volumes": volumes}
    document = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "refused", "namespace": "media", "labels": labels},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
    }

    def refused() -> bool:
        events = kubectl.get(job.lab, "events", "-n", "media")["items"]
        return any("violates PodSecurity" in event["message"] for event in events)

    with node.applied(job, document):
        wait_for("the refusal is told", refused)
        yield


@FAULTS.fault("the seed's generator pod, DaemonSet and .keep file", "seed-objects")
@contextmanager
def _seed(job: MainJob) -> Iterator[None]:
    labels = {"app": "nvidia-cdi-init-by-hand"}
    pause = {"name": "c", "image": "lab.local/pause:1"}
    generator = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "nvidia-cdi-generator", "namespace": "kube-system"},
        "spec": {"nodeName": job.node.name, "containers": [pause], "tolerations": [{"operator": "Exists"}]},
    }
    installer = {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": "nvidia-cdi-init", "namespace": "kube-system"},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [pause]}},
        },
    }
    with node.applied(job, generator, installer), node.holds(job, "/var/cdi/.keep", ""):
        yield


@FAULTS.fault("the device plugin waits for a label", "device-plugin-unready")
@contextmanager
def _plugin(job: MainJob) -> Iterator[None]:
    labels = {"name": "nvidia-device-plugin-ds"}
    spec = {
        "nodeSelector": {"nvidia.com/gpu.present": "true"},
        "containers": [{"name": "c", "image": "lab.local/pause:1"}],
    }
    document = {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": "nvidia-device-plugin-daemonset", "namespace": "kube-system"},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
    }
    with node.applied(job, document):
        yield
