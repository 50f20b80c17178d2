"""Four stacks of a tiny program on the real engine. A node is a file; an update that changes it adds a line to it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import shutil
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from lab.engine import install

STACKS = ("a", "b", "c", "d")
ROOT = Path(__file__).parents[2]

_GPU = {"model": "Quadro P2000", "driver": "535.247.01", "memory_mib": 5120}
OF_A_NODE = {
    "talos-nvidia-cdi:node": {"name": "lab-1", "address": "10.5.0.2", "talos": "v1.11.1", "gpu": _GPU},
    "talos-nvidia-cdi:machine": {"base": "worker.yaml"},
    **{f"talos-nvidia-cdi:{name}": f"no-{name}" for name in ("talosconfig", "kubeconfig")},  # nobody's own are used
}
"""The settings by which a rollout knows the node's release; the program has no use for them."""

PROGRAM = """
import os
import pathlib
import time

import pulumi
from node import Node

held = pathlib.Path(os.environ["NODES"], pulumi.get_stack() + ".held")
deadline = time.monotonic() + 120
while held.exists() and time.monotonic() < deadline:
    held.with_suffix(".holding").touch()
    time.sleep(0.02)
config = pulumi.Config()
Node("node", name=pulumi.get_stack(), size=config.require_int("size"))
"""
PROVIDER = """
import os
import pathlib
import time

from pulumi.dynamic import CreateResult, DiffResult, Resource, ResourceProvider, UpdateResult


def change(props):
    path = pathlib.Path(os.environ["NODES"], props["name"] + ".node")
    blocked = path.with_suffix(".block")
    with path.with_suffix(".begun").open("a") as file:
        file.write("begun\\n")
    deadline = time.monotonic() + 120
    while blocked.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    if path.with_suffix(".broken").exists():
        raise RuntimeError("this node is broken on purpose")
    with path.open("a") as file:
        file.write(f"{int(props['size'])}\\n")


class Changes(ResourceProvider):
    serialize_as_secret_always = False

    def create(self, props):
        change(props)
        return CreateResult("node", props)

    def diff(self, id, olds, news):
        return DiffResult(changes=olds.get("size") != news.get("size"))

    def update(self, id, olds, news):
        change(news)
        return UpdateResult(news)


class Node(Resource):
    def __init__(self, resource, **props):
        super().__init__(Changes(), resource, props)
"""


@dataclass
class RealFleet:
    """The project, its nodes, and the `talos-gpu rollout` command on it."""

    root: Path
    engine: install.Engine
    environment: dict[str, str]
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def project(self) -> Path:
        return self.root / "project"

    @property
    def folder(self) -> Path:
        return self.root / "rollouts" / "trial" / "four"

    def set_environment(self) -> None:
        self.environment |= {
            "NODES": str(self.root),
            "PYTHONPATH": str(ROOT),
            "TALOS_GPU_ROLLOUT_STATE": str(self.root / "rollouts"),
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_SYSTEM": os.devnull,
        }

    def lay_out(self) -> None:
        """Write the program; its stacks are still to be made."""
        self.project.mkdir()
        options = json.dumps({"name": "python", "options": {"virtualenv": sys.prefix}})
        (self.project / "Pulumi.yaml").write_text(f"name: trial\nruntime: {options}\n")
        (self.project / "__main__.py").write_text(PROGRAM)
        (self.project / "node.py").write_text(PROVIDER)
        shutil.copy(ROOT / ".gitignore", self.project)

    def prepare(self) -> None:
        self.set_environment()
        for stack in STACKS:
            self.configure(stack, size=1)
        self.write_rollout()
        self.git("init", "--quiet")
        self.commit("first")

    def end(self) -> None:
        """End what a test left running."""
        for process in self.started:
            if process.poll() is None:
                process.kill()
                process.wait()
            if process.stdout is not None:
                process.stdout.close()

    def node(self, stack: str) -> Path:
        return self.root / f"{stack}.node"

    def configure(self, stack: str, *, size: int) -> None:
        path = self.project / f"Pulumi.{stack}.yaml"
        document = yaml.safe_load(path.read_text())
        document["config"] = {"trial:size": str(size), **OF_A_NODE}
        path.write_text(yaml.safe_dump(document))

    def write_rollout(self, **settings: Any) -> None:
        base = {"fleet": "four", "stacks": [{"glob": "*"}], "waves": [{"stacks": ["*"]}], "preflight": []}
        gate = {"name": "there", "command": ["sh", "-c", "test -s ../$ROLLOUT_STACK.node"]}
        text = yaml.safe_dump({**base, "gates": [gate], "max_parallel": 2, "max_unavailable": 4, **settings})
        (self.project / "rollout.yaml").write_text(text)

    def git(self, *words: str) -> str:
        identity = ["-c", "user.name=test", "-c", "user.email=test@invalid"]
        done = subprocess.run(
            ["git", *identity, *words],
            cwd=self.project,
            env=self.environment,
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout.strip()

    def commit(self, message: str) -> str:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", message)
        return self.git("rev-parse", "HEAD")

    def pulumi(self, *words: str) -> subprocess.Popen[str]:
        return self._start([str(self.engine.pulumi), *words])

    def start(self, *words: str) -> subprocess.Popen[str]:
        return self._start([sys.executable, "-m", "talos_gpu", "rollout", *words])

    def on_a_terminal(self, *words: str, code: int = 0) -> str:
        """Run the command with a terminal as its output; returns what was drawn there."""
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
        command = [sys.executable, "-m", "talos_gpu", "rollout", *words]
        environment = self.environment | {"TERM": "xterm-256color"}
        process = subprocess.Popen(
            command,
            cwd=self.project,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=theirs,
            stderr=theirs,
            text=True,
        )
        self.started.append(process)
        os.close(theirs)
        drawn = b""
        with contextlib.suppress(OSError):  # EIO: nobody has the other end any more
            while part := os.read(ours, 65536):
                drawn += part
        os.close(ours)
        assert process.wait(timeout=180) == code
        return drawn.decode()

    def script(self, name: str, *words: str) -> tuple[int, str]:
        """Run a program of this folder to its end; returns its exit code and what it wrote."""
        process = self._start([sys.executable, str(Path(__file__).with_name(name)), *words])
        said, _ = process.communicate(timeout=180)
        return process.returncode, said

    def rollout(self, *words: str, code: int = 0) -> str:
        """Run the command to its end; returns what it wrote, both streams."""
        return self.ended(self.start(*words), code)

    @staticmethod
    def ended(process: subprocess.Popen[str], code: int = 0) -> str:
        """Wait for a command; returns what it wrote."""
        said, _ = process.communicate(timeout=180)
        assert process.returncode == code, said
        return said

    @staticmethod
    def until_said(process: subprocess.Popen[str], words: str) -> None:
        """Read a command's output up to a line with these words."""
        assert process.stdout is not None
        while words not in (line := process.stdout.readline()):
            assert line, f"it ended without saying {words!r}"

    def planned(self) -> None:
        """Plan and approve."""
        said = self.rollout("plan", "--json")
        found = json.loads(said[said.index("{") :])
        self.rollout("approve", found["hash"])

    def records(self) -> list[dict[str, Any]]:
        path = self.folder / "journal.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def states(self) -> dict[str, str]:
        made = json.loads(self.rollout("status", "--json"))
        return {stack["name"]: stack["state"] for stack in made["stacks"]}

    def changes(self) -> dict[str, list[str]]:
        """Stack -> the sizes that its node was really given, in order."""
        return {s: self.node(s).read_text().split() if self.node(s).exists() else [] for s in STACKS}

    def block(self, *stacks: str) -> None:
        for stack in stacks:
            self.node(stack).with_suffix(".block").touch()

    def unblock(self, *stacks: str) -> None:
        for stack in stacks:
            self.node(stack).with_suffix(".block").unlink()

    def locked_by_another(self, stack: str) -> subprocess.Popen[str]:
        """Another's update that has the stack's lock and has changed nothing yet: its program waits."""
        held = self.node(stack).with_suffix(".held")
        held.touch()
        other = self.pulumi("up", "--yes", "--skip-preview", "--stack", stack)
        self.until(held.with_suffix(".holding").exists)
        return other

    def let_go(self, stack: str) -> None:
        """Let a program that waits go on."""
        self.node(stack).with_suffix(".held").unlink()

    def until_begun(self, *stacks: str) -> None:
        """Wait until the nodes' providers are at work."""
        self.until(lambda: all(self.node(stack).with_suffix(".begun").exists() for stack in stacks))

    @staticmethod
    def until(condition: Callable[[], Any], seconds: float = 120) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, "not in time"
            time.sleep(0.02)

    @staticmethod
    def interrupt(process: subprocess.Popen[str]) -> None:
        process.send_signal(signal.SIGINT)

    def _start(self, words: Sequence[str]) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            list(words),
            cwd=self.project,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.started.append(process)
        return process
