"""A pod that gets its GPU as a CRI device: a device plugin's names, resolved by containerd from its own folders."""

from __future__ import annotations

import shutil
from typing import Any

from bench.worksite import Worksite, wait_for
from lab import kubectl

CRI_POD = "cri-device"
_PLUGIN, _KUBELET = "device-plugin", "/var/lib/kubelet/device-plugins"
_SELF_EVIDENT = ("nvidia-smi", "-L")


def start_device_plugin(site: Worksite) -> None:
    """The lab's device plugin as a pod of kube-system; returns when the kubelet counts its GPU."""
    target = site.node.state / "var" / _PLUGIN
    if not target.exists():
        shutil.copy2(site.lab.binaries / _PLUGIN, target)
    paths = {"program": f"/var/{_PLUGIN}", "kubelet": _KUBELET, "dev": "/dev"}
    places = {"program": f"/{_PLUGIN}", "kubelet": _KUBELET, "dev": "/dev"}
    container = {
        "image": "lab.local/node-tools:1",
        "command": [f"/{_PLUGIN}"],
        "securityContext": {"privileged": True},
        "volumeMounts": [{"name": name, "mountPath": path} for name, path in places.items()],
    }
    volumes = [{"name": name, "hostPath": {"path": path}} for name, path in paths.items()]
    site.apply(_pod(_PLUGIN, "kube-system", site.node.name, container, restartPolicy="Always", volumes=volumes))

    def counted() -> bool:
        allocatable = kubectl.get(site.lab, "node", site.node.name)["status"]["allocatable"]
        return bool(allocatable.get("nvidia.com/gpu") == "1")

    wait_for("the kubelet counts one nvidia.com/gpu", counted)


def cri_pod(node: str) -> dict[str, Any]:
    """A pod with a limit of one nvidia.com/gpu that lists the GPU."""
    container = {
        "image": "lab.local/tdarr-node:1",
        "command": list(_SELF_EVIDENT),
        "resources": {"limits": {"nvidia.com/gpu": "1"}},
    }
    return _pod(CRI_POD, "default", node, container, restartPolicy="Never")


def why_not(site: Worksite) -> str:
    """Why the pod does not start, as the kubelet's event says it; empty once it has ended well."""
    reason = ""

    def decided() -> bool:
        nonlocal reason
        pod = kubectl.get(site.lab, "pod", "-n", "default", CRI_POD)
        phase, selector = pod["status"].get("phase"), f"involvedObject.uid={pod['metadata']['uid']}"
        events = kubectl.get(site.lab, "events", "-n", "default", "--field-selector", selector)["items"]
        failures = [event["message"] for event in events if event["reason"] in ("Failed", "FailedCreatePodSandBox")]
        reason = "" if phase == "Succeeded" else (failures or [""])[-1]
        return phase == "Succeeded" or bool(reason)

    wait_for("the pod with a CRI device runs or fails", decided)
    return reason


def _pod(name: str, namespace: str, node: str, container: dict[str, Any], **spec: Any) -> dict[str, Any]:  # noqa: ANN401
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"nodeName": node, "containers": [{"name": "c", **container}], **spec},
    }
