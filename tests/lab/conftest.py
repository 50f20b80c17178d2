"""The main job, done once for all tests that need its result."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest

from lab import kubectl
from lab.lab import Lab
from lab.nodes import Node
from lab.process import start_time
from lab.reboot import reboot_node
from lab.stack import Stack, events

T = TypeVar("T")


@dataclass(frozen=True)
class MainJob:
    """A lab on which `pulumi up` of its stack has ended, and how that went."""

    lab: Lab
    stack: Stack
    first_up: str
    first_events: Sequence[dict[str, Any]]

    @property
    def node(self) -> Node:
        """The stack's node."""
        return self.stack.node

    def inside(self, path: str) -> Path:
        """A path of the node's own view, seen from the host."""
        return Path(f"/proc/{self.node.pid}/root{path}")

    def up(self, *flags: str) -> str:
        """Look again at node and cluster, then mend: what `pulumi up --refresh` says."""
        return self.stack.operation("up", "--refresh", "--skip-preview", *flags).stdout

    def quiet(self, *flags: str) -> bool:
        """Whether a second look finds nothing to change."""
        done = self.stack.operation("preview", "--refresh", "--expect-no-changes", *flags, check=False)
        if done.returncode:
            print(done.stdout, done.stderr)
        return done.returncode == 0

    def boot_id(self) -> str:
        """The node's boot."""
        return self.inside("/proc/sys/kernel/random/boot_id").read_text().strip()

    def refreshed(self) -> str:
        """What a preview after a refresh says; fails unless it sees something to change."""
        done = self.stack.operation("preview", "--refresh", "--expect-no-changes", "--diff", check=False)
        assert done.returncode, f"nothing was seen to have moved:\n{done.stdout}"
        assert "error: no changes were expected" in done.stderr, done.stdout + done.stderr
        return done.stdout

    @contextmanager
    def configured(self, **changes: Any) -> Iterator[None]:
        """The stack with other settings (not applied: `up` does that), and back."""
        before = self.stack.config.read_text()
        self.stack.write_config(changes)
        try:
            yield
        finally:
            self.stack.config.write_text(before)

    def installer_pods(self) -> list[dict[str, Any]]:
        """The installer's pods on this node."""
        pods = kubectl.get(self.lab, "pods", "-n", "kube-system", "-l", "app=nvidia-cdi-init")["items"]
        return [pod for pod in pods if pod["spec"].get("nodeName") == self.node.name]

    def installer_log(self) -> str:
        """What the installer's pods on this node have said."""
        names = [pod["metadata"]["name"] for pod in self.installer_pods()]
        return "".join(kubectl.run(self.lab, "logs", "-n", "kube-system", name).stdout for name in names)

    def encode(self, codec: str = "hevc_nvenc") -> None:
        """Encode in the worker; fails with what ffmpeg said."""
        from lab.proof import encode_command

        target = f"deploy/tdarr-node-gpu-{self.node.name}"
        done = kubectl.run(self.lab, "exec", "-n", "media", target, "--", *encode_command(codec))
        assert done.returncode == 0, done.stderr[-2000:]
        assert "frame=   60" in done.stderr.replace("\r", "\n"), done.stderr[-2000:]

    def installer_ready(self) -> bool:
        """Whether the one installer pod of this node is Ready and its DaemonSet counts it: a refresh asks that one."""
        pods = self.installer_pods()
        if len(pods) != 1 or not kubectl.ready(pods[0]):
            return False
        sets = kubectl.get(self.lab, "daemonsets", "-n", "kube-system", "-l", "app=nvidia-cdi-init")["items"]
        ours = [one for one in sets if one["metadata"]["name"] == f"nvidia-cdi-init-{self.node.name}"]
        return [one["status"].get("numberAvailable") for one in ours] == [1]

    def worker_ready(self) -> bool:
        """Whether the worker's pods are Ready and its Deployment available, as the API server has it now."""
        name = f"tdarr-node-gpu-{self.node.name}"
        pods = [
            pod
            for pod in kubectl.get(self.lab, "pods", "-n", "media")["items"]
            if pod["metadata"]["name"].startswith(name)
        ]
        deployment = kubectl.get(self.lab, "deployment", "-n", "media", name)
        return bool(pods) and all(map(kubectl.ready, pods)) and deployment["status"].get("availableReplicas") == 1

    def reboot(self) -> None:
        """Reboot the node; returns when the cluster has seen the new boot and installer and worker run in it."""
        _, after = reboot_node(self.lab, self.node.name)

        def seen() -> bool:
            node = kubectl.get(self.lab, "node", self.node.name)
            return kubectl.ready(node) and bool(node["status"]["nodeInfo"]["bootID"] == after)

        wait_for("the cluster sees the new boot", seen)
        self.settle()

    def settle(self) -> None:
        """Return when installer and worker are ready in the boot that is, and the spec lies where it should."""
        wait_for("every pod's status is of this boot", self.restarted)
        # a probe tells of a spec that was withdrawn some seconds later
        wait_for("the spec is installed", lambda: self.inside("/run/cdi/nvidia.yaml").exists())
        wait_for("the installer is ready", self.installer_ready)
        wait_for("the worker is ready", self.worker_ready, 120)

    def settle_worker(self) -> None:
        """The same of the worker alone, for a stack without an installer: its `up` may end with the node's restart."""
        wait_for("every pod's status is of this boot", self.restarted)
        wait_for("the worker is ready", self.worker_ready, 120)

    def restarted(self) -> bool:
        """Whether the kubelet has told of the containers' end at the reboot: a Ready of before it is no proof."""
        uptime = float(Path(f"/proc/{self.node.pid}/root/proc/uptime").read_text().split()[0])
        pods = [*self.installer_pods(), *kubectl.get(self.lab, "pods", "-n", "media")["items"]]
        states = [s for pod in pods for s in pod["status"].get("containerStatuses", ())]
        began = datetime.now(UTC) - timedelta(seconds=uptime - _boot_offset(self.node))
        return bool(states) and all(
            "running" not in s["state"] or datetime.fromisoformat(s["state"]["running"]["startedAt"]) > began
            for s in states
        )


def _boot_offset(node: Node) -> float:
    """Seconds after this machine's boot at which the node's pid 1 started."""
    ticks = start_time(node.pid or 0)
    assert ticks is not None
    return ticks / os.sysconf("SC_CLK_TCK")


def wait_for(what: str, look: Callable[[], T], seconds: float = 60.0) -> T:
    """Return the first true value that `look` gives; fails naming `what` and what was last seen."""
    until = time.monotonic() + seconds
    seen: T = look()
    while not seen:
        assert time.monotonic() < until, f"{what}: not within {seconds:.0f} s, last seen {seen!r}"
        time.sleep(0.1)
        seen = look()
    return seen


@pytest.fixture(scope="session")
def main_job(binaries: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MainJob]:
    """The lab after the first `pulumi up` from nothing."""
    lab = Lab("test-main", binaries)
    lab.down()
    log = tmp_path_factory.mktemp("events") / "up.jsonl"
    try:
        lab.make()
        lab.start(print)
        kubectl.wait_node_ready(lab, ["lab-1"])
        stack = Stack(lab, lab.node())
        stack.init()
        done = stack.operation("up", "--skip-preview", "--event-log", str(log), check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        yield MainJob(lab, stack, done.stdout, events(log))
    finally:
        lab.down()


@pytest.fixture
def job(main_job: MainJob) -> MainJob:
    """The main job with installer and worker ready again, whatever the test before did to them."""
    main_job.settle()
    return main_job
