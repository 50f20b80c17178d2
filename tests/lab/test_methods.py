"""Changing the method is one `up`: quiet before the restart, encoding after it, and nothing of the old way is left."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from lab import kubectl
from tests.lab.conftest import MainJob, wait_for
from tests.lab.pods import why_it_fails

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


def refused_for_the_worker(job: MainJob) -> None:
    """A changed worker waits for the encode in it, and stays as it is if that does not end in time."""
    pods = worker_pods(job)
    change = {"tdarr": {"node_name": "another"}, "machine": {"before_restart": {"encode_deadline_s": 1}}}
    with job.configured(**change), encoding(job):
        said = job.stack.operation("preview").stdout
        assert f"{job.node.name}: this restarts the worker: environment nodeName. Before it" in said, said
        done = job.stack.operation("up", "--skip-preview", check=False)
    told = " ".join((done.stdout + done.stderr).split())
    assert done.returncode, told
    assert f"the worker on {job.node.name} was not restarted: after 1 s there still ran process ffmpeg" in told, told
    assert worker_pods(job) == pods
    assert not unschedulable(job)


def legacy_by_a_sysctl(job: MainJob) -> None:
    """Method sysctl as far as the lab has it: the sysctl, live; what injects then is libnvidia-container, not here."""
    boot = job.boot_id()
    with job.configured(cdi={"method": "sysctl"}, tdarr=None):
        said = job.stack.operation("preview").stdout
        assert "the machine config changes on the running machine, without a restart" in said, said
        assert "cdi.method: sysctl sets net.core.bpf_jit_harden to 1 for the whole node" in said, said
        job.up()
        assert job.boot_id() == boot
        assert job.stack.outputs()["facts"]["bpf_jit_harden"] == "1"
        assert job.quiet()
        why = why_it_fails(job, "legacy", runtimeClassName="nvidia")
        assert "nvidia-container-cli" in why, why


def worker_pods(job: MainJob) -> list[str]:
    return sorted(pod["metadata"]["uid"] for pod in kubectl.get(job.lab, "pods", "-n", "media")["items"])


def test_from_spec_to_jit_and_back(job: MainJob) -> None:
    refused_for_the_worker(job)
    boot = job.boot_id()
    with job.configured(cdi={"method": "jit-cdi"}):
        said = job.stack.operation("preview").stdout
        assert (
            f"this restarts the node and with it the worker: machine.files: {PART} (files are written at boot)" in said
        )
        impatient = job.configured(cdi={"method": "jit-cdi"}, machine={"before_restart": {"encode_deadline_s": 1}})
        with impatient, encoding(job):
            done = job.stack.operation("up", "--skip-preview", check=False)
        assert done.returncode, done.stdout
        told = " ".join((done.stdout + done.stderr).split())
        assert f"{job.node.name} was not restarted: after 1 s there still ran process ffmpeg" in told, told
        assert f"{job.node.name} is uncordoned" in told, told
        assert not unschedulable(job), "cordoned, although it failed"
        assert job.boot_id() == boot
        job.encode()

        said = job.up()
        assert f"{job.node.name} is uncordoned" in said, said
        assert job.boot_id() != boot
        assert not unschedulable(job)
        assert not job.inside(PART).exists()
        assert f"nvidia-cdi-init-{job.node.name}" not in daemon_sets(job)
        wait_for("the worker is ready", job.worker_ready, 120)
        worker = kubectl.get(job.lab, "deployment", "-n", "media", f"tdarr-node-gpu-{job.node.name}")
        assert worker["spec"]["template"]["spec"]["runtimeClassName"] == "nvidia"
        job.encode()
        assert job.quiet()
    legacy_by_a_sysctl(job)
    job.up()
    job.settle()
    job.encode()
    assert job.quiet()
