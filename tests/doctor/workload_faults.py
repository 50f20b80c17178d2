"""Faults of GPU pods and of the stack."""

from __future__ import annotations

import copy
import json

from tests.doctor.bundles import P2000, PART, SOURCE, Box
from tests.doctor.fault import (
    UNRESOLVABLE,
    create_fails,
    fault,
    respec,
)

# the workload


@fault("a GPU pod without runtimeClassName", "pod-without-runtime")
def _plain(box: Box) -> None:
    del box.worker["spec"]["runtimeClassName"]
    box.not_ready(box.worker)
    box.texts["cluster/logs/media_tdarr-0.txt"] = "[hevc_nvenc @ 0x55d9] Cannot load libcuda.so.1\n"


@fault("the worker is older than the spec", "pod-older-than-spec")
def _older(box: Box) -> None:
    box.worker["metadata"]["annotations"]["talos-nvidia-cdi/spec-sha256"] = "0" * 64


@fault("an image that cannot be pulled", "image-unpullable")
def _image(box: Box) -> None:
    box.waits(box.worker, "ImagePullBackOff", 'Back-off pulling image "ghcr.io/haveagitgat/tdarr_node:2.99"')


@fault("ffmpeg 7 on driver 535", "ffmpeg-too-new")
def _ffmpeg(box: Box) -> None:
    box.worker["spec"]["containers"][0]["env"][1]["value"] = "7"
    box.texts["cluster/logs/media_tdarr-0.txt"] = (
        "[hevc_nvenc @ 0x5] Driver does not support the required nvenc API version. Required: 13.0 Found: 12.0\n"
        "[hevc_nvenc @ 0x5] OpenEncodeSessionEx failed\n"
    )


@fault("no encode session for want of memory", "work-fails")
def _sessions(box: Box) -> None:
    box.texts["cluster/logs/media_tdarr-0.txt"] = (
        "[hevc_nvenc @ 0x5] OpenEncodeSessionEx failed: out of memory (10): (no details)\n"
    )


@fault("Tdarr's server not there", "tdarr-server-unreachable")
def _server(box: Box) -> None:
    box.texts["cluster/logs/media_tdarr-0.txt"] = "Error: connect ECONNREFUSED 10.96.0.12:8266\n"


@fault("server and worker mount media at different paths", "tdarr-paths-differ")
def _media(box: Box) -> None:
    box.worker["spec"]["containers"][0]["volumeMounts"][0]["mountPath"] = "/mnt/media"


@fault("the worker was scaled to zero", "worker-missing")
def _no_worker(box: Box) -> None:
    box.items("pods").remove(box.worker)


@fault("a pod that fails with words that nobody knows", "pod-fails")
def _unknown(box: Box) -> None:
    create_fails(box, "the flux capacitor is not charged")


@fault("a worker that runs and does not find its GPU", "worker-not-ready")
def _blind(box: Box) -> None:
    box.not_ready(box.worker)


@fault("client certificate at its end", "certificate-expiring")
def _certificate(box: Box) -> None:
    box.meta["certificates"] = {"talosconfig": "2026-12-01T00:00:00+00:00"}


@fault("an image by tag", "image-unpinned")
def _tag(box: Box) -> None:
    box.meta["unpinned"] = ["docker.io/library/debian:12-slim"]


@fault("a user's GPU pod that does not tolerate the node's own taint", "taint-untolerated")
def _pending(box: Box) -> None:
    """On no node yet; its selector fits this one."""
    box.json("cluster/node.json")["metadata"]["labels"]["kubernetes.io/hostname"] = "talos05"
    pod = copy.deepcopy(box.worker)
    pod["metadata"] = {"name": "cuda", "namespace": "ai", "labels": {"app": "cuda"}}
    del pod["spec"]["nodeName"]
    pod["spec"] |= {"tolerations": [], "nodeSelector": {"node.kubernetes.io/gpu-vendor": "nvidia"}}
    said = "0/1 nodes are available: 1 node(s) had untolerated taint {nvidia.com/gpu: true}."
    unschedulable = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": said}
    pod["status"] = {"phase": "Pending", "conditions": [unschedulable]}
    box.items("pods").append(pod)
    box.event(pod, said, "FailedScheduling")


@fault("the system's own service fails on 1.13", "native-service-failed")
def _native(box: Box) -> None:
    native(box)
    box.json("talos/services.json").append(
        {"id": "ext-nvidia-cdi-gen", "state": "Failed", "message": "failed to initialize NVML"}
    )
    box.file("/var/run/cdi/nvidia.yaml", None)
    create_fails(box, UNRESOLVABLE)


def native(box: Box) -> None:
    """Talos 1.13 with its own spec and no objects of ours but the worker; other nodes still have theirs."""
    box.meta.update(release="v1.13.2", method="native", handler="nvidia", runtime_class="nvidia")
    box.texts["talos/version.txt"] = "v1.13.2\n"
    box.texts["talos/extensions.json"] = json.dumps(
        {"nonfree-kmod-nvidia-lts": "535.247.01-v1.13.2", "nvidia-container-toolkit-lts": "535.247.01-v1.19.1"}
    )
    box.file(SOURCE, None)
    box.file(PART, None)
    respec(box, P2000)
    box.drop("/usr/local/bin", "nvidia-cdi-hook.real", "nvidia-ctk.real", "nvidia-container-runtime.cdi")
    box.items("daemonsets").clear()
    box.items("jobs").clear()
    box.items("pods").remove(box.installer)
    box.items("runtimeclasses").append({"metadata": {"name": "nvidia"}, "handler": "nvidia"})
    box.worker["spec"]["runtimeClassName"] = "nvidia"
