"""`pulumi` interrupted as a terminal does it, or killed: the next `up` of the stack is green."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from lab.cluster.control_plane import Ports
from lab.errors import StepFailed
from lab.lab import Lab, Record
from lab.paths import PROJECT
from lab.stack import NAMESPACE, Stack

SLOW = """
import pathlib, time
import pulumi
from pulumi.dynamic import CreateResult, Resource, ResourceProvider

class Slow(ResourceProvider):
    def create(self, props):
        here = pathlib.Path(props["here"])
        (here / "begun").touch()
        while not (here / "go").exists():
            time.sleep(0.05)
        return CreateResult("one", props)

class Thing(Resource):
    def __init__(self, name, **props):
        super().__init__(Slow(), name, props)

Thing("thing", here={here!r})
"""

UP = """
import signal
import sys
from pathlib import Path
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in the background
from lab.lab import Lab
from lab.stack import Stack
lab = Lab("interrupted", Path(sys.argv[1]))
Stack(lab, lab.node()).run("up", "--yes", "--skip-preview", "-s", "lab")
"""


@pytest.fixture
def groups() -> Iterator[list[int]]:
    """Process groups that a test has started; what is left of them ends with it."""
    started: list[int] = []
    yield started
    for group in started:
        with suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)


@pytest.fixture
def stack(binaries: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stack:
    """A stack of a lab of which nothing runs, with a program whose one resource is made when `go` is there."""
    monkeypatch.setenv("TALOS_LAB_HOME", str(tmp_path))
    lab = Lab("interrupted", binaries)
    Record("10.5.0.0/24", Ports(*range(40000, 40005)), ("lab-1",), cluster=True).save(lab.paths.record)
    found = Stack(lab, lab.node())
    found.home.pulumi_state.mkdir()
    found.passphrase.write_text("of these tests\n")
    options = json.dumps({"name": "python", "options": {"virtualenv": sys.prefix}})
    (lab.paths.root / "Pulumi.yaml").write_text(f"name: {NAMESPACE}\nruntime: {options}\n")
    (lab.paths.root / "__main__.py").write_text(SLOW.format(here=str(tmp_path)))
    found.run("stack", "init", "lab")
    return found


def begin(stack: Stack, here: Path, groups: list[int]) -> subprocess.Popen[str]:
    """`up` by a program of its own, in a group of its own as a terminal's job is; it makes the resource now."""
    command = [sys.executable, "-c", UP, str(stack.lab.binaries)]  # finds `lab` in its folder
    with (here / "said").open("w") as said:
        started = subprocess.Popen(command, cwd=PROJECT, start_new_session=True, stderr=said, text=True)
    groups.append(started.pid)
    until(lambda: (here / "begun").exists() or started.poll() is not None)
    assert started.poll() is None, (here / "said").read_text()
    return started


def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.05)


def locks(stack: Stack) -> list[Path]:
    return list((stack.home.pulumi_state / ".pulumi/locks").rglob("*.json"))


def up(stack: Stack, here: Path) -> str:
    """What the next `up` says; it must be green."""
    (here / "go").touch()
    stack.free()
    return stack.run("up", "--yes", "--skip-preview", "--refresh", "-s", "lab").stdout


def test_ctrl_c_lets_pulumi_end_what_it_does_and_leaves_no_lock(
    stack: Stack, tmp_path: Path, groups: list[int]
) -> None:
    started, said = begin(stack, tmp_path, groups), tmp_path / "said"
    os.killpg(started.pid, signal.SIGINT)
    until(lambda: "interrupted; pulumi has 60 s" in said.read_text() or started.poll() is not None)
    assert started.poll() is None, f"it did not wait for pulumi: {said.read_text()}"
    (tmp_path / "go").touch()
    started.wait(timeout=120)
    assert "KeyboardInterrupt" in said.read_text()
    assert locks(stack) == []
    again = up(stack, tmp_path)
    assert "created" not in again, f"what was made was not kept: {again}"


def test_the_lock_of_a_killed_pulumi_is_taken_away_and_that_of_a_running_one_is_not(
    stack: Stack, tmp_path: Path, groups: list[int]
) -> None:
    started = begin(stack, tmp_path, groups)
    [lock] = locks(stack)
    held = json.loads(lock.read_text())
    assert not stack.free()
    assert locks(stack) == [lock]
    os.kill(held["pid"], signal.SIGKILL)
    started.wait(timeout=60)
    lock.write_text(json.dumps({**held, "hostname": f"not-{socket.gethostname()}"}))
    assert not stack.free(), "another machine's may run"
    lock.write_text(json.dumps(held))
    assert "created" in up(stack, tmp_path)


def test_an_up_that_takes_too_long_is_a_step_that_failed_and_the_next_one_is_green(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lab.stack.INTERRUPTED_S", 3.0)
    with pytest.raises(StepFailed, match="did not end within 8 s"):
        stack.run("up", "--yes", "--skip-preview", "-s", "lab", timeout=8)
    assert "created" in up(stack, tmp_path)
