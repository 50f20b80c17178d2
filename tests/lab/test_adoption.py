"""What the write-up has one make by hand, in force and encoding, is taken over without a moment without a good spec."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from lab import kubectl
from talos_gpu.cdi import SpecInvalid, parse
from tests.lab.conftest import MainJob, wait_for

pytestmark = pytest.mark.lab

INSTALLED = "/run/cdi/nvidia.yaml"
SCRIPT = """\
cp /var-cdi/nvidia.yaml /var-run-cdi/
sed -i 's|/usr/local/bin/nvidia-cdi-hook|/usr/local/bin/nvidia-cdi-hook.real|g' /var-run-cdi/nvidia.yaml
"""
"""The write-up's step 3, word for word but for its messages."""


def installer_by_hand() -> dict[str, Any]:
    labels = {"app": "nvidia-cdi-init"}
    copy = {
        "name": "copy-cdi-spec",
        "image": "lab.local/node-tools:1",
        "command": ["/bin/sh", "-ec", SCRIPT],
        "securityContext": {"privileged": True},
        "volumeMounts": [
            {"name": "var-cdi", "mountPath": "/var-cdi", "readOnly": True},
            {"name": "var-run-cdi", "mountPath": "/var-run-cdi"},
        ],
    }
    pod = {
        "nodeSelector": {"node.kubernetes.io/gpu-vendor": "nvidia"},
        "hostPID": True,
        "initContainers": [copy],
        "containers": [{"name": "pause", "image": "lab.local/pause:1"}],
        "volumes": [
            {"name": name, "hostPath": {"path": path}}
            for name, path in (("var-cdi", "/var/cdi"), ("var-run-cdi", "/var/run/cdi"))
        ],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": "nvidia-cdi-init", "labels": labels},
        "spec": {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": pod}},
    }


def worker_by_hand(node: str, selector: dict[str, str]) -> dict[str, Any]:
    container = {
        "name": "tdarr-node",
        "image": "lab.local/tdarr-node:1",
        "env": [{"name": "NVIDIA_VISIBLE_DEVICES", "value": "all"}],
        "securityContext": {"runAsUser": 0},
    }
    pod = {"runtimeClassName": "nvidia-cdi", "nodeName": node, "containers": [container]}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": f"tdarr-node-gpu-{node}"},
        "spec": {
            "selector": {"matchLabels": selector},
            "strategy": {"type": "Recreate"},
            "template": {"metadata": {"labels": selector}, "spec": pod},
        },
    }


def apply(job: MainJob, namespace: str, document: dict[str, Any]) -> None:
    kubectl.kubectl(job.lab, "apply", "-n", namespace, "-f", "-", stdin=json.dumps(document))


@contextmanager
def watched(path: Path) -> Iterator[Counter[str]]:
    """What a reader without pause finds at `path` meanwhile: `good`, `missing`, `broken`, `unpatched`."""
    seen: Counter[str] = Counter()
    stop = threading.Event()

    def look() -> None:
        while not stop.wait(0.001):
            seen[_state(path)] += 1

    reader = threading.Thread(target=look)
    reader.start()
    try:
        yield seen
    finally:
        stop.set()
        reader.join()


def _state(path: Path) -> str:
    try:
        return _judged(path.read_text())
    except FileNotFoundError:
        return "missing"


@cache
def _judged(text: str) -> str:
    try:
        hooks = list(parse(text).hooks())
    except SpecInvalid:
        return "broken"
    return "good" if hooks and all(hook.path.endswith("nvidia-cdi-hook.real") for hook in hooks) else "unpatched"


@pytest.fixture
def by_hand(job: MainJob) -> Iterator[MainJob]:
    """The main job's node with the write-up's objects on it and none of ours; ours again afterwards."""
    job.stack.operation("destroy", "--skip-preview")
    try:
        apply(job, "kube-system", installer_by_hand())
        kubectl.kubectl(job.lab, "rollout", "status", "-n", "kube-system", "daemonset/nvidia-cdi-init", "--timeout=60s")
        yield job
    finally:
        kubectl.kubectl(job.lab, "delete", "--ignore-not-found", "-n", "kube-system", "daemonset", "nvidia-cdi-init")
        if not any(str(one["type"]).endswith(":Deployment") for one in job.stack.resources()):
            kubectl.kubectl(job.lab, "delete", "--ignore-not-found", "-n", "media", "deployment", worker_name(job))
        job.up()
        job.settle()


def worker_name(job: MainJob) -> str:
    return f"tdarr-node-gpu-{job.node.name}"


def test_the_write_ups_objects_are_taken_over_and_every_reader_finds_a_good_spec(by_hand: MainJob) -> None:
    job, node = by_hand, by_hand.node.name
    boot = job.boot_id()
    apply(job, "media", worker_by_hand(node, {"app": "tdarr-node-gpu", "talos-nvidia-cdi/node": node}))
    wait_for("the worker made by hand is ready", job.worker_ready, 120)
    job.encode()
    with job.configured(adopt=True), watched(job.inside(INSTALLED)) as seen:
        said = " ".join(job.stack.operation("up", "--skip-preview").stdout.split())
    assert f"Deployment media/tdarr-node-gpu-{node} is taken over" in said
    assert "DaemonSet nvidia-cdi-init, made by hand, is deleted: ours is ready" in said
    assert seen["good"] > 500, seen
    assert set(seen) == {"good"}, seen
    assert job.boot_id() == boot
    job.settle()
    job.encode()


def test_a_worker_with_another_selector_is_refused_with_what_to_do(by_hand: MainJob) -> None:
    job, node = by_hand, by_hand.node.name
    apply(job, "media", worker_by_hand(node, {"app": "tdarr-node-gpu-talos05"}))
    with job.configured(adopt=True):
        done = job.stack.operation("up", "--skip-preview", check=False)
    said = " ".join((done.stdout + done.stderr).split())
    assert done.returncode
    assert f"Deployment media/tdarr-node-gpu-{node} cannot be taken over" in said, said
    assert f"kubectl -n media delete deployment tdarr-node-gpu-{node}" in said
    kubectl.kubectl(job.lab, "delete", "-n", "media", "deployment", f"tdarr-node-gpu-{node}")
