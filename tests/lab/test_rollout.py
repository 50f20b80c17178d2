"""A real rollout over two lab nodes: one reboots after the other; a GPU that stops encoding stops it at its wave."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from lab import fleet, kubectl
from lab.errors import LabError
from lab.lab import Lab
from lab.paths import PROJECT
from lab.stack import Stack
from tests.lab.conftest import wait_for

pytestmark = pytest.mark.lab

MAX_UNAVAILABLE = 1
POLL_S = 0.5
REBOOTS = {"cdi": {"runtime": "default"}}
"""containerd reads its part at boot: a change of it restarts the node."""


@dataclass
class Fleet:
    """The lab's nodes, and the command on them."""

    lab: Lab
    stacks: list[Stack]

    def rollout(self, *words: str) -> subprocess.CompletedProcess[str]:
        where = ["--file", str(fleet.rollout_file(self.lab)), "--project", str(PROJECT)]
        return self.run(["rollout", *where, *words])

    def run(self, words: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """`talos-gpu WORDS` to its end."""
        process = self.start(words)
        out, err = process.communicate(timeout=240)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def start(self, words: Sequence[str]) -> subprocess.Popen[str]:
        """`talos-gpu WORDS`, in the environment of `python -m lab env`."""
        return subprocess.Popen(
            [sys.executable, "-m", "talos_gpu", *words],
            env=fleet.environment(self.lab),
            cwd=PROJECT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def planned(self) -> dict[str, Any]:
        """Plan and approve."""
        done = self.rollout("plan", "--json")
        assert done.returncode == 0, done.stdout + done.stderr
        plan: dict[str, Any] = json.loads(done.stdout)
        approved = self.rollout("approve", plan["hash"])
        assert approved.returncode == 0, approved.stderr
        return plan

    def report(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.rollout("report", "--json").stdout)
        return found

    def steps(self, stack: str) -> list[dict[str, Any]]:
        """What was done with a stack, as the report has it."""
        [steps] = [found["steps"] for found in self.report()["stacks"] if found["name"] == stack]
        return list(steps)

    def boots(self) -> dict[str, str]:
        nodes = kubectl.get(self.lab, "nodes")["items"]
        return {node["metadata"]["name"]: node["status"]["nodeInfo"]["bootID"] for node in nodes}


@dataclass
class Polled:
    """How many nodes have no worker that is available, seen every `POLL_S` seconds."""

    lab: Lab
    names: frozenset[str]
    seen: list[frozenset[str]] = field(default_factory=list)
    unseen: int = 0
    _end: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Polled:
        self._thread = threading.Thread(target=self._poll)
        self._thread.start()
        return self

    def __exit__(self, *_raised: object) -> None:
        self._end.set()
        self._thread.join()

    def _poll(self) -> None:
        following = time.monotonic()
        while not self._end.wait(max(0.0, following - time.monotonic())):
            following += POLL_S
            try:
                self.seen.append(self.names - self._available())
            except LabError:
                self.unseen += 1

    def _available(self) -> frozenset[str]:
        """Nodes that run, are Ready and whose worker is available."""
        found = kubectl.get(self.lab, "nodes,deployments", "-n", "media")["items"]
        workers = [item for item in found if item["kind"] == "Deployment"]
        nodes = {item["metadata"]["name"] for item in found if item["kind"] == "Node" and _ready(item)}
        able = {
            worker["metadata"]["labels"]["talos-nvidia-cdi/node"]
            for worker in workers
            if worker["status"].get("availableReplicas")
        }
        up = {node.name for node in self.lab.nodes if node.pid is not None}
        return frozenset(nodes & able & up)


def _ready(node: dict[str, Any]) -> bool:
    return any(c["type"] == "Ready" and c["status"] == "True" for c in node["status"].get("conditions", ()))


@pytest.fixture(scope="module")
def two(binaries: Path) -> Iterator[Fleet]:
    """A fleet of two nodes, every one encoding."""
    lab = Lab("test-fleet", binaries)
    lab.down()
    try:
        stacks = fleet.start(lab, 2, print)
        fleet.update(stacks, print)
        fleet.write_rollout(lab, {"max_parallel": 2, "max_unavailable": MAX_UNAVAILABLE, "waves": [{"percent": 100}]})
        yield Fleet(lab, stacks)
    finally:
        lab.down()


def test_a_change_that_reboots_takes_one_node_after_the_other_through_every_gate(two: Fleet) -> None:
    for stack in two.stacks:
        stack.write_config(REBOOTS)
    plan = two.planned()
    assert {stack["reboot"] for stack in plan["stacks"].values()} == {"possible"}
    before = two.boots()
    with Polled(two.lab, frozenset(before)) as polled:
        done = two.rollout("run")
    assert done.returncode == 0, done.stdout + done.stderr
    after = two.boots()
    assert all(after[name] != before[name] for name in before), "a node was not restarted"

    down = frozenset().union(*polled.seen)
    assert down == frozenset(before), f"not both were seen to be away: {polled}"
    assert max(map(len, polled.seen)) <= MAX_UNAVAILABLE, polled.seen
    assert polled.unseen < len(polled.seen) / 10, f"{polled.unseen} of {len(polled.seen)} looks saw nothing"

    for stack in two.report()["stacks"]:
        answers = next(step["gates"] for step in stack["steps"] if step["step"] == "gates")
        assert [answer["verdict"] for answer in answers] == ["passed"] * 6
        measured = next(answer["measured"] for answer in answers if answer["gate"] == "encode")
        for codec in ("hevc_nvenc", "h264_nvenc"):
            assert min(measured[codec]["before"], measured[codec]["value"]) > 0
        assert "the update restarted it" in answers[0]["evidence"]


def test_a_gpu_that_stops_encoding_stops_it_at_its_wave_and_resumes_end_well_though_one_is_killed(two: Fleet) -> None:
    fleet.write_rollout(two.lab)  # one node first, the canary
    for stack in two.stacks:
        stack.write_config()
    two.planned()
    before, first = two.boots(), two.lab.node("lab-1")
    first.pretend(uvm_major=510)
    try:
        done = two.rollout("run")
        assert done.returncode == 1, done.stdout + done.stderr
    finally:
        first.pretend()
    states = {stack["name"]: stack for stack in two.report()["stacks"]}
    assert {name: stack["state"] for name, stack in states.items()} == {"lab": "failed", "lab-2": "not-started"}
    assert "gate encode failed: hevc_nvenc, h264_nvenc, decode, cuda: CUDA" in states["lab"]["cause"]
    assert "`talos-gpu doctor lab` says why" in states["lab"]["cause"]
    after = two.boots()
    assert after["lab-2"] == before["lab-2"], "a node of a later wave was touched"
    assert after["lab-1"] != before["lab-1"]
    lines = done.stdout.splitlines()
    [following] = [line.removeprefix("next: ") for line in lines if line.startswith("next: ")]
    assert following.endswith(" resume"), following

    program, *words = shlex.split(following)
    assert program == "talos-gpu"
    second = two.lab.node("lab-2")
    boot = second.pid
    killed = two.start(words)
    wait_for("the second node is in the middle of its reboot", lambda: second.pid != boot, 90)
    killed.kill()
    killed.communicate()
    again = two.run(words)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "lab: recheck ok" in again.stdout, again.stdout
    assert "complete: 2 done" in again.stdout
    updates = [step for step in two.steps("lab-2") if step["step"] == "update"]
    assert [step["ok"] for step in updates] == [True], "the update that outlived its rollout was not waited for"
    assert two.boots()["lab-2"] != before["lab-2"]
