"""Faults of the cluster."""

from __future__ import annotations

import json

from tests.doctor.bundles import INSTALLED, Box
from tests.doctor.fault import (
    NO_RUNTIME,
    UNRESOLVABLE,
    create_fails,
    fault,
    withdrawn,
)

# the cluster


@fault("node unknown to the cluster", "node-missing")
def _no_node(box: Box) -> None:
    box.texts["cluster/node.json"] = "{}"
    box.items("daemonsets")[0]["status"]["desiredNumberScheduled"] = 0
    box.items("pods").remove(box.installer)
    box.waits(box.worker, "", "")


@fault("node not Ready", "node-not-ready")
def _not_ready(box: Box) -> None:
    box.json("cluster/node.json")["status"]["conditions"] = [
        {"type": "Ready", "status": "False", "reason": "KubeletNotReady", "message": "container runtime is down"}
    ]
    box.not_ready(box.worker)
    box.not_ready(box.installer)


@fault("GPU label missing: the installer has 0 pods and counts as ready", "label-missing")
def _label(box: Box) -> None:
    box.json("cluster/node.json")["metadata"]["labels"].clear()
    box.items("daemonsets")[0]["status"]["desiredNumberScheduled"] = 0
    box.items("pods").remove(box.installer)
    box.file(INSTALLED, None)
    box.waits(box.worker, "", "")
    box.event(box.worker, "0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector.")


@fault("a taint that nothing tolerates", "taint-untolerated")
def _taint(box: Box) -> None:
    box.json("cluster/node.json")["spec"]["taints"].append({"key": "dedicated", "value": "x", "effect": "NoSchedule"})
    box.waits(box.worker, "", "")
    box.event(box.worker, "0/3 nodes are available: 1 node(s) had untolerated taint {dedicated: x}.")


@fault("installer pinned to another node's name", "installer-unscheduled")
def _unscheduled(box: Box) -> None:
    box.items("daemonsets")[0]["status"]["desiredNumberScheduled"] = 0
    box.items("pods").remove(box.installer)
    box.file(INSTALLED, None)
    create_fails(box, UNRESOLVABLE)


@fault("installer deleted", "installer-missing")
def _no_installer(box: Box) -> None:
    box.items("daemonsets").clear()
    box.items("pods").remove(box.installer)
    box.file(INSTALLED, None)
    create_fails(box, UNRESOLVABLE)


@fault("installer cannot write", "installer-failing")
def _installer(box: Box) -> None:
    at, lies = "2026-11-27T15:38:32Z", "it was not installed from here (sha256 other)"
    error = f"{at} ERROR: cannot write {INSTALLED} on the host"
    withdrawn(box, f"{error}\n{at} left {INSTALLED} alone: {lies}")
    box.event(box.installer, f"Readiness probe failed: not ready: {INSTALLED} is not the installed spec (other)\n")


@fault("a spec with hooks by nvidia-ctk, edited just now", "installer-behind")
def _behind(box: Box) -> None:
    box.meta["hook"] = "nvidia-ctk"
    box.not_ready(box.installer)
    box.event(box.installer, f"Readiness probe failed: not ready: {INSTALLED} is not the installed spec (0123)\n")


@fault("RuntimeClass deleted", "runtimeclass-missing")
def _class(box: Box) -> None:
    box.items("runtimeclasses").clear()
    box.waits(box.worker, "", "")
    box.event(box.worker, 'Failed to create pod sandbox: RuntimeClass "nvidia-cdi" not found')


@fault("RuntimeClass with a handler that containerd lacks", "runtimeclass-handler")
def _handler(box: Box) -> None:
    box.items("runtimeclasses")[0]["handler"] = "nvidia-cdi2"
    create_fails(box, NO_RUNTIME)


@fault("PodSecurity refuses the worker", "podsecurity-refuses")
def _security(box: Box) -> None:
    box.items("pods").remove(box.worker)
    owner = {"kind": "ReplicaSet", "metadata": {"name": "tdarr-node-gpu-talos05-1", "namespace": "media"}}
    box.items("replicasets").append({**owner, "spec": {"replicas": 1}, "status": {"replicas": 0}})
    box.event(owner, 'Error creating: pods "x" is forbidden: violates PodSecurity "baseline:latest": hostPath volumes')


@fault("the seed's generator pod and DaemonSet still there", "seed-objects")
def _seed(box: Box) -> None:
    by_hand = json.loads(json.dumps(box.items("daemonsets")[0]))
    by_hand["metadata"] = {"name": "nvidia-cdi-init", "namespace": "kube-system", "labels": {}}
    box.items("daemonsets").append(by_hand)
    box.file("/var/cdi/.keep", "")


@fault("the device plugin installed and not scheduled", "device-plugin-unready")
def _plugin(box: Box) -> None:
    box.items("daemonsets").append(
        {
            "metadata": {"name": "nvidia-device-plugin-daemonset", "namespace": "kube-system"},
            "spec": {"template": {"spec": {}}},
            "status": {"desiredNumberScheduled": 0},
        }
    )
