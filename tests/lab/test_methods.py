"""Changing the method is one `up`: quiet before the restart, encoding after it, and nothing of the old way is left."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from lab import kubectl
from lab.stack import events
from tests.lab.conftest import MainJob, wait_for
from tests.lab.doctoring import well

pytestmark = pytest.mark.lab

PART = "/etc/cri/conf.d/20-customization.part"
ENCODE = (
    "ffmpeg -hide_banner -loglevel error -re -f lavfi -i testsrc=size=320x240:rate=10 -t 1800 -c:v h264_nvenc -f null -"
)
END = 'for c in /proc/[0-9]*; do read -r n <"$c/comm" && [ "$n" = ffmpeg ] && kill "${c#/proc/}"; done; true'


@contextmanager
def encoding(job: MainJob) -> Iterator[None]:
    """An encode that runs in the worker until the end of the block, which ends it there: kubectl's end would not."""
    worker = ["-n", "media", f"deploy/tdarr-node-gpu-{job.node.name}", "--"]
    command = kubectl.command(job.lab, "exec", *worker, *ENCODE.split())
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for("the encode runs", lambda: sessions(job) == "1")
        yield
    finally:
        kubectl.run(job.lab, "exec", *worker, "sh", "-c", END)
        running.kill()
        running.wait()


def sessions(job: MainJob) -> str:
    query = ["nvidia-smi", "--query-gpu=encoder.stats.sessionCount", "--format=csv,noheader,nounits"]
    done = kubectl.run(job.lab, "exec", "-n", "media", f"deploy/tdarr-node-gpu-{job.node.name}", "--", *query)
    return done.stdout.strip()


def unschedulable(job: MainJob) -> bool:
    node = kubectl.get(job.lab, "node", job.node.name)
    return bool(node["spec"].get("unschedulable")) or "talos-nvidia-cdi/cordoned" in node["metadata"]["annotations"]


def daemon_sets(job: MainJob) -> list[str]:
    items = kubectl.get(job.lab, "daemonsets", "-n", "kube-system")["items"]
    return [item["metadata"]["name"] for item in items]


def worker_pods(job: MainJob) -> list[str]:
    return sorted(pod["metadata"]["uid"] for pod in kubectl.get(job.lab, "pods", "-n", "media")["items"])


def refused_while_it_encodes(job: MainJob, what: str, **changes: Any) -> str:
    """What an `up` says that waits for an encode a second and then leaves `what` as it is."""
    boot, pods = job.boot_id(), worker_pods(job)
    with job.configured(**changes, machine={"before_restart": {"encode_deadline_s": 1}}), encoding(job):
        done = job.stack.operation("up", "--skip-preview", check=False)
    told = " ".join((done.stdout + done.stderr).split())
    assert done.returncode, told
    assert f"{what} was not restarted: after 1 s there still ran process ffmpeg" in told, told
    assert not unschedulable(job), "cordoned, although it failed"
    assert (job.boot_id(), worker_pods(job)) == (boot, pods)
    job.encode()
    return told


def test_from_spec_to_jit_and_back(job: MainJob, tmp_path: Path) -> None:
    boot, node = job.boot_id(), job.node.name
    with job.configured(cdi={"method": "jit-cdi"}):
        said = " ".join(job.stack.operation("preview").stdout.split())
        restart = f"this restarts the node and with it the worker: machine.files: {PART} (files are written at boot)"
        assert f"{node}: {restart}, after the worker has come up on the new method" in said, said
        assert f"{node}: this restarts the worker: cdi.runtime; environment NVIDIA_VISIBLE_DEVICES; no CDI spec" in said
        refused_while_it_encodes(job, f"the worker on {node}", cdi={"method": "jit-cdi"})

        log = tmp_path / "up.jsonl"
        said = job.up("--event-log", str(log))
        assert f"{node} is uncordoned" in said, said
        began, ended = moments(log)
        assert ended["kubernetes:apps/v1:Deployment"] < began["pulumi-python:dynamic/talos:MachineRestarted"]
        assert job.boot_id() != boot
        assert job.stack.outputs()["boot_id"] == job.boot_id()
        assert not unschedulable(job)
        assert not job.inside(PART).exists()
        assert f"nvidia-cdi-init-{node}" not in daemon_sets(job)
        job.settle_worker()
        worker = kubectl.get(job.lab, "deployment", "-n", "media", f"tdarr-node-gpu-{node}")
        assert worker["spec"]["template"]["spec"]["runtimeClassName"] == "nvidia"
        job.encode()
        assert job.quiet()
        well(job)
    assert f"{node} is uncordoned" in refused_while_it_encodes(job, node)
    the_restart_that_is_left_is_bound_to_the_stack(job)
    job.up()
    job.settle()
    job.encode()
    assert job.quiet()


def the_restart_that_is_left_is_bound_to_the_stack(job: MainJob) -> None:
    """MachineState has nothing to do: the config is staged already."""
    boot = job.boot_id()
    left = "its machine config is staged, and holds from the next boot on"
    said = " ".join(job.stack.operation("preview").stdout.split())
    assert f"{job.node.name}: this restarts the node and with it the worker: {left}" in said, said
    with job.configured(machine={"reboot": "forbid"}):
        done = job.stack.operation("up", "--skip-preview", check=False)
    told = " ".join((done.stdout + done.stderr).split())
    assert done.returncode, told
    assert "the stack says machine.reboot: forbid, and the config stays staged" in told, told
    assert (job.boot_id(), unschedulable(job)) == (boot, False)


def moments(log: Path) -> tuple[dict[str, int], dict[str, int]]:
    """When the engine began and ended with each type's update, by number of the event."""
    began, ended = dict[str, int](), dict[str, int]()
    for number, event in enumerate(events(log)):
        for kind, into in (("resourcePreEvent", began), ("resOutputsEvent", ended)):
            metadata = event.get(kind, {}).get("metadata", {})
            if metadata.get("op") == "update":
                into[str(metadata["type"])] = number
    return began, ended
