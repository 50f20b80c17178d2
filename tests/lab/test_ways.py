"""Test 3, the other ways to a GPU: a CRI device from a device plugin, and containerd's default runtime."""

from __future__ import annotations

import shutil

import pytest

from lab import kubectl
from tests.lab.conftest import MainJob, wait_for
from tests.lab.pods import run_pod, start_pod

pytestmark = pytest.mark.lab

LIBRARIES = "/usr/local/glibc/usr/lib"
LOOK = ["sh", "-c", f"ls /dev/nvidia0 /dev/nvidia-uvm {LIBRARIES}; echo env=$NVIDIA_VISIBLE_DEVICES; nvidia-smi -L"]
GPU = "GPU 0: Quadro P2000 (UUID: GPU-3b1f2c4d-5e6f-7a8b-9c0d-1e2f3a4b5c6d)"
GIVEN = {"/dev/nvidia0", "/dev/nvidia-uvm", "libcuda.so.1", "libnvidia-encode.so.1", "env=void", GPU}
"""Devices, libraries with the links of the ldcache hook, the spec's own env (whatever the pod asked), and they work."""
IMAGE = "lab.local/tdarr-node:1"


def test_a_cri_device_has_the_gpu_without_any_nvidia_runtime(job: MainJob) -> None:
    shutil.copy2(job.lab.binaries / "device-plugin", job.node.state / "var" / "device-plugin")
    kubelet = "/var/lib/kubelet/device-plugins"
    paths = {"program": "/var/device-plugin", "kubelet": kubelet, "dev": "/dev"}
    start_pod(
        job,
        "device-plugin",
        {
            "image": "lab.local/node-tools:1",
            "command": ["/device-plugin"],
            "securityContext": {"privileged": True},
            "volumeMounts": [
                {"name": "program", "mountPath": "/device-plugin"},
                {"name": "kubelet", "mountPath": kubelet},
                {"name": "dev", "mountPath": "/dev"},
            ],
        },
        namespace="kube-system",
        volumes=[{"name": name, "hostPath": {"path": path}} for name, path in paths.items()],
    )
    try:
        wait_for(
            "the kubelet counts one nvidia.com/gpu",
            lambda: kubectl.get(job.lab, "node", job.node.name)["status"]["allocatable"].get("nvidia.com/gpu") == "1",
        )
        asked = {"image": IMAGE, "command": LOOK, "resources": {"limits": {"nvidia.com/gpu": "1"}}}
        said = run_pod(job, "cri-device", asked).splitlines()
    finally:
        kubectl.kubectl(job.lab, "delete", "pod", "-n", "kube-system", "device-plugin", "--grace-period=0", "--force")
    assert set(said) >= GIVEN, said


def test_as_default_runtime_every_pod_that_asks_by_its_environment_has_the_gpu(job: MainJob) -> None:
    asks = [{"name": "NVIDIA_VISIBLE_DEVICES", "value": "all"}]
    plain = {"image": IMAGE, "command": LOOK, "env": asks}
    assert GPU not in run_pod(job, "before", plain)
    before = job.boot_id()
    with job.configured(cdi={"runtime": "default"}):
        job.up()
        assert job.boot_id() != before, "containerd's default runtime changed without a boot"
        job.settle()
        assert job.quiet()
        worker = kubectl.get(job.lab, "deployment", "-n", "media", f"tdarr-node-gpu-{job.node.name}")
        assert "runtimeClassName" not in worker["spec"]["template"]["spec"]
        job.encode()
        said = run_pod(job, "with-default", plain).splitlines()
        assert set(said) >= GIVEN, said
        said = run_pod(job, "not-asking", {"image": IMAGE, "command": LOOK}).splitlines()
        assert not GIVEN & {*said}, said
    job.up()
    job.settle()
    assert job.quiet()
    assert GPU not in run_pod(job, "after", plain)
