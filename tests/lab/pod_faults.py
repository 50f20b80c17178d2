"""Faults of GPU pods, and of the operator's own files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any

import yaml

from lab import kubectl
from lab.proof import encode_command
from tests.lab import broken_node as node
from tests.lab.conftest import MainJob, wait_for
from tests.lab.live_fault import Faults

VISIBLE = {"name": "NVIDIA_VISIBLE_DEVICES", "value": "all"}
IMAGE = "lab.local/tdarr-node:1"
SLEEP = ["sleep", "infinity"]


def gpu_pod(
    job: MainJob,
    name: str,
    until: Callable[[dict[str, Any]], Any],
    *,
    env: Mapping[str, str] | None = None,
    runtime: str | None = "nvidia-cdi",
    **container: Any,
) -> AbstractContextManager[None]:
    """A pod of somebody's that asks for the GPU."""
    more = [{"name": key, "value": value} for key, value in (env or {}).items()]
    described = {"image": IMAGE, "command": SLEEP, "env": [VISIBLE, *more], **container}
    spec = {"runtimeClassName": runtime} if runtime else {}
    return node.pod(job, name, described, until, **spec)


FAULTS = Faults()

# pods

FAULTS.made(
    "a GPU pod without runtimeClassName",
    "pod-without-runtime",
    lambda job: gpu_pod(job, "plain", node.running, runtime=None),
)

FAULTS.made(
    "an image that is not there",
    "image-unpullable",
    lambda job: gpu_pod(
        job, "absent", node.waits("ErrImageNeverPull"), image="lab.local/absent:1", imagePullPolicy="Never"
    ),
)
FAULTS.made(
    "ffmpeg 7 on driver 535",
    "ffmpeg-too-new",
    lambda job: gpu_pod(job, "seven", node.running, env={"ffmpegVersion": "7"}),
)
FAULTS.made(
    "a pod that fails with words that nobody knows",
    "pod-fails",
    lambda job: gpu_pod(
        job,
        "unknown",
        lambda status: status.get("phase") == "Failed",
        command=["/flux-capacitor"],
    ),
)
FAULTS.made(
    "a pod that runs and is never ready",
    "worker-not-ready",
    lambda job: gpu_pod(
        job, "unready", node.running, readinessProbe={"exec": {"command": ["false"]}, "periodSeconds": 1}
    ),
)


@FAULTS.fault("no encode session for want of memory, in the real ffmpeg's words", "work-fails")
@contextmanager
def _work(job: MainJob) -> Iterator[None]:
    encode = " ".join(f"'{word}'" for word in encode_command("hevc_nvenc"))
    command = ["sh", "-c", f"{encode}; exec sleep infinity"]

    def told() -> bool:
        said = kubectl.run(job.lab, "logs", "-n", "media", "full").stdout
        return "OpenEncodeSessionEx failed" in said

    with gpu_pod(job, "full", node.running, env={"MOCK_GPU": "nvenc_open=10"}, command=command):
        wait_for("ffmpeg has failed", told)
        yield


@FAULTS.fault("legacy injection under Talos's hardening", "legacy-blinded")
@contextmanager
def _legacy(job: MainJob) -> Iterator[None]:
    """The lab has no nvidia-container-cli: the pod fails before the kernel is asked (tests/doctor/test_bpf.py asks)."""
    runtime = {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": "nvidia"}}
    events = ("events", "-n", "media", "--field-selector", "involvedObject.name=legacy,type=Warning")
    pod = gpu_pod(job, "legacy", lambda _: kubectl.get(job.lab, *events)["items"], runtime="nvidia")
    with node.applied(job, {**runtime, "handler": "nvidia"}), pod:
        yield


@FAULTS.fault("a worker of another day: made with an older spec", "pod-older-than-spec")
@contextmanager
def _older(job: MainJob) -> Iterator[None]:
    pods = kubectl.get(job.lab, "pods", "-n", "media", "-l", "app=tdarr-node-gpu")["items"]
    [name] = [pod["metadata"]["name"] for pod in pods if pod["spec"].get("nodeName") == job.node.name]
    key = "talos-nvidia-cdi/spec-sha256"
    digest = next(pod for pod in pods if pod["metadata"]["name"] == name)["metadata"]["annotations"][key]
    annotate = ("annotate", "pod", "-n", "media", name, "--overwrite")
    kubectl.kubectl(job.lab, *annotate, f"{key}={'0' * 64}")
    try:
        yield
    finally:
        kubectl.kubectl(job.lab, *annotate, f"{key}={digest}")


@FAULTS.fault("the server mounts its films where the worker has nothing", "tdarr-paths-differ")
@contextmanager
def _media(job: MainJob) -> Iterator[None]:
    mounts = [{"name": "films", "mountPath": path} for path in ("/app/server", "/media", "/films")]
    server = {"image": "lab.local/tdarr:1", "imagePullPolicy": "Never", "volumeMounts": mounts}
    with node.pod(job, "server", server, lambda _: True, volumes=[{"name": "films", "emptyDir": {}}]):
        yield


@FAULTS.fault("the worker was scaled to zero", "worker-missing")
@contextmanager
def _no_worker(job: MainJob) -> Iterator[None]:
    scale = ("scale", "-n", "media", f"deploy/tdarr-node-gpu-{job.node.name}")
    kubectl.kubectl(job.lab, *scale, "--replicas=0")
    pods = ("pods", "-n", "media", "-l", "app=tdarr-node-gpu")
    try:
        wait_for("the worker is gone", lambda: not kubectl.get(job.lab, *pods)["items"])
        yield
    finally:
        kubectl.kubectl(job.lab, *scale, "--replicas=1")
        wait_for("the worker is back", job.worker_ready)


# the operator's files


@contextmanager
def changed_stack(job: MainJob, change: Callable[[dict[str, Any]], object]) -> Iterator[Mapping[str, Any]]:
    """A copy of the stack's file, changed by its operator."""
    document = yaml.safe_load(job.stack.config.read_text())
    change(document["config"])
    other = job.lab.paths.root / "Pulumi.changed.yaml"
    other.write_text(yaml.safe_dump(document))
    try:
        yield {"stack": other}
    finally:
        other.unlink()


NODE, CDI = "talos-nvidia-cdi:node", "talos-nvidia-cdi:cdi"
FAULTY_STACKS: Mapping[tuple[str, str], Callable[[dict[str, Any]], object]] = {
    ("an image by tag in the stack", "image-unpinned"): lambda config: config[CDI].update(image=IMAGE),
    ("the stack says another Talos release than the node runs", "release-differs"): lambda config: config[NODE].update(
        talos="v1.10.4"
    ),
    ("the stack names a node that the cluster does not know", "node-missing"): lambda config: config[NODE].update(
        name="lab-9"
    ),
}
for (_name, _root), _change in FAULTY_STACKS.items():
    FAULTS.fault(_name, _root)(partial(changed_stack, change=_change))


@FAULTS.fault("a talosconfig that ends in ten days", "certificate-expiring")
@contextmanager
def _certificate(job: MainJob) -> Iterator[Mapping[str, Any]]:
    path = str(node.talosconfig_for(job, days=10))
    with changed_stack(job, lambda config: config.update({"talos-nvidia-cdi:talosconfig": path})) as asked:
        yield asked


@FAULTS.fault("a patched node about to be upgraded to 1.13", "upgrade-breaks-spec")
@contextmanager
def _upgrade(job: MainJob) -> Iterator[Mapping[str, Any]]:
    yield {"upgrade_to": "v1.13.0"}
