"""A fleet of lab nodes, `talos-gpu rollout` on it, and what is seen of it meanwhile."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

from lab import fleet, kubectl
from lab.errors import LabError
from lab.lab import Lab
from lab.paths import PROJECT
from lab.stack import Stack
from tests.lab.conftest import MainJob

POLL_S = 0.5
_SLOWEST = 6
"""So many times longer a look may take on average where the machine does much else."""
COMMAND_S = 420
"""Seconds that one command may take on a machine that does much else."""
REBOOTS: Mapping[str, Any] = {"cdi": {"runtime": "default"}}
"""containerd reads its part at boot: a change of it restarts the node."""


@dataclass
class Running:
    """A `talos-gpu rollout ... --json` in work: its events as they come."""

    process: subprocess.Popen[str]
    events: list[dict[str, Any]] = field(default_factory=list)

    def until(self, what: str, look: Callable[[dict[str, Any]], bool]) -> None:
        """Return when an event fits, or has; fails with the last ones if it ends before."""
        assert self.process.stdout is not None
        if any(map(look, self.events)):
            return
        for line in self.process.stdout:
            self.events.append(json.loads(line))
            if look(self.events[-1]):
                return
        raise AssertionError(f"it ended before: {what}: {self.events[-5:]} {self.process.communicate()[1]}")

    def ended(self) -> int:
        """Wait for its end; its exit code."""
        assert self.process.stdout is not None
        self.events += map(json.loads, self.process.stdout)  # communicate() would lose what is read ahead
        return self.process.wait()

    def finals(self) -> dict[str, str]:
        """How stacks have ended."""
        return {event["stack"]: event["details"]["state"] for event in self.events if event["kind"] == "final"}


@dataclass
class Fleet:
    """The lab's nodes, and the command on them."""

    lab: Lab
    stacks: list[Stack]
    here: Path = Path()
    """A folder in which tests and gates that are commands meet."""

    def __getitem__(self, name: str) -> MainJob:
        """A stack by its name, with the tests' ways to break its node."""
        [stack] = [stack for stack in self.stacks if stack.name == name]
        return MainJob(stack.lab, stack, "", ())

    def words(self, *words: str) -> list[str]:
        where = ["--file", str(fleet.rollout_file(self.lab)), "--project", str(PROJECT)]
        return ["rollout", *where, *words]

    def rollout(self, *words: str) -> subprocess.CompletedProcess[str]:
        return self.run(self.words(*words))

    def run(self, words: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """`talos-gpu WORDS` to its end."""
        process = self.start(words)
        out, err = process.communicate(timeout=COMMAND_S)
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

    @contextmanager
    def running(self, verb: str) -> Iterator[Running]:
        """`rollout VERB --json` while the block runs; killed with the block, or when it takes too long."""
        running = Running(self.start(self.words(verb, "--json")))
        late = threading.Timer(4 * COMMAND_S, running.process.kill)
        late.start()
        try:
            yield running
        finally:
            late.cancel()
            with running.process:  # closes its pipes
                running.process.kill()

    def planned(self) -> dict[str, Any]:
        """Plan and approve."""
        done = self.rollout("plan", "--json")
        assert done.returncode == 0, done.stdout + done.stderr
        plan: dict[str, Any] = json.loads(done.stdout)
        approved = self.rollout("approve", plan["hash"])
        assert approved.returncode == 0, approved.stderr
        return plan

    def report(self) -> dict[str, Any]:
        """The stacks' reports by name."""
        found = json.loads(self.rollout("report", "--json").stdout)
        return {stack["name"]: stack for stack in found["stacks"]}

    def doctor(self, stack: str) -> list[dict[str, Any]]:
        """The errors among what `talos-gpu doctor` finds at a stack that no other finding explains."""
        done = self.run(["doctor", stack, "--project", str(self.lab.paths.root), "--json"])
        found = json.loads(done.stdout)["findings"]
        return [one for one in found if one["severity"] == "error" and not one["explained_by"]]

    def boots(self) -> dict[str, str]:
        """Stack -> its node's boot, as the node itself has it."""
        return {stack.name: self[stack.name].boot_id() for stack in self.stacks}


@contextmanager
def started(
    name: str, binaries: Path, nodes: Sequence[int], overrides: Mapping[str, Any] | None = None
) -> Iterator[Fleet]:
    """A fleet of so many nodes by cluster, every one encoding."""
    lab = Lab(name, binaries)
    fleet.down(lab)
    try:
        stacks = fleet.start(lab, nodes, print, overrides)
        fleet.update(stacks, print)
        fleet.write_rollout(lab)
        yield Fleet(lab, stacks)
    finally:
        fleet.down(lab)


def following(said: str) -> list[str]:
    """The words of the next command that a command of ours has printed, without the program."""
    [line] = [line.removeprefix("next: ") for line in said.splitlines() if line.startswith("next: ")]
    program, *words = shlex.split(line)
    assert program == "talos-gpu"
    return words


@dataclass
class Polled:
    """Which nodes of a cluster have no worker that is available, and why, seen every `POLL_S` seconds."""

    lab: Lab
    seen: list[dict[str, str]] = field(default_factory=list)
    """Of each look, node -> why it is away."""
    unseen: int = 0
    seconds: float = 0.0
    """How long it was looked."""
    _end: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Polled:
        self.names = frozenset(node.name for node in self.lab.nodes)
        self._thread = threading.Thread(target=self._poll)
        self._thread.start()
        return self

    def __exit__(self, *_raised: object) -> None:
        self._end.set()
        self._thread.join()

    def _poll(self) -> None:
        following = began = time.monotonic()
        while not self._end.wait(max(0.0, following - time.monotonic())):
            following += POLL_S
            try:
                self.seen.append(self._away())
            except LabError:
                self.unseen += 1
        self.seconds = time.monotonic() - began

    def _away(self) -> dict[str, str]:
        """Nodes that do not run, are not Ready or whose worker is not available."""
        found = kubectl.get(self.lab, "nodes,deployments", "-n", "media")["items"]
        nodes = {item["metadata"]["name"]: item for item in found if item["kind"] == "Node"}
        able = {
            item["metadata"]["labels"]["talos-nvidia-cdi/node"]
            for item in found
            if item["kind"] == "Deployment" and item["status"].get("availableReplicas")
        }
        away: dict[str, str] = {}
        for node in self.lab.nodes:
            if node.pid is None:
                away[node.name] = "does not run"
            elif not kubectl.ready(nodes[node.name]):
                [ready] = [c for c in nodes[node.name]["status"]["conditions"] if c["type"] == "Ready"]
                away[node.name] = f"{ready['reason']}: {ready['message']} (heartbeat {ready['lastHeartbeatTime']})"
            elif node.name not in able:
                away[node.name] = "its worker is not available"
        return away

    def never_more_than(self, most: int) -> None:
        """Fails unless every node was seen to be away, and never more than `most` at once."""
        assert frozenset().union(*self.seen) == self.names, f"not all were seen to be away: {self.told()}"
        assert max(map(len, self.seen)) <= most, self.told()
        assert self.unseen < len(self.seen) / 10, f"{self.unseen} of {len(self.seen)} looks saw nothing"
        rate = f"{len(self.seen)} looks in {self.seconds:.0f} s"
        assert len(self.seen) * _SLOWEST * POLL_S > self.seconds, rate

    def told(self) -> str:
        """The looks in order, each with how often it was seen in a row."""
        return "\n".join(f"{len(list(run))} times {look or 'nobody'}" for look, run in groupby(self.seen))
