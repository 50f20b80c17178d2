"""The Pulumi command line: how operations on a stack are started, and its state is read.

Imports little: `talos-gpu preview` starts the engine before the rest of the package is imported.

The command line rather than `pulumi.automation`: that one selects the stack for the whole checkout before each
operation (pulumi/pulumi#8186), starts further processes for it, and reads its child through a pipe, so that the child
dies with whoever started it. Here an update writes to files and outlives a killed rollout.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from talos_gpu.errors import UsageError
from talos_gpu.rollout.errors import PulumiFailed

_LAST_WORDS = 1000


@dataclass(frozen=True, slots=True)
class Pulumi:
    """`pulumi` in a project's folder."""

    project: Path
    stack_files: Path
    """Folder with the Pulumi.STACK.yaml."""
    program: str
    environment: Mapping[str, str]

    @classmethod
    def find(cls, project: Path, stack_files: Path) -> Pulumi:
        """The one on PATH. Raises UsageError if there is none."""
        program = shutil.which("pulumi")
        if program is None:
            raise UsageError("there is no pulumi on PATH", remedy="install the Pulumi command line")
        more = {"PULUMI_DEBUG_COMMANDS": "true", "PULUMI_SKIP_UPDATE_CHECK": "true"}  # the first is for --event-log
        return cls(project, stack_files, program, {**os.environ, **more})

    def without(self, prefix: str) -> Pulumi:
        """The same without the variables whose names begin so."""
        return replace(self, environment={k: v for k, v in self.environment.items() if not k.startswith(prefix)})

    def stack_file(self, stack: str) -> Path:
        """Where a stack's configuration lies."""
        return self.stack_files / f"Pulumi.{stack}.yaml"

    def words(self, verb: str, stack: str, events: Path | None = None, *flags: str) -> list[str]:
        """The command line of an operation on a stack."""
        where = [] if self.stack_files == self.project else ["--config-file", str(self.stack_file(stack))]
        log = [] if events is None else ["--event-log", str(events)]
        quiet = ["--non-interactive", "--color", "never"]
        return [self.program, verb, "--stack", stack, *quiet, "--suppress-outputs", *where, *log, *flags]

    def state(self, stack: str, *, show_secrets: bool = False) -> Mapping[str, Any]:
        """The stack's deployment, secrets encrypted unless asked in clear. Raises PulumiFailed if there is none."""
        words = ["stack", "export", *(["--show-secrets"] if show_secrets else []), "--stack", stack]
        done = subprocess.run(
            [self.program, *words, "--non-interactive", "--color", "never"],
            cwd=self.project,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise PulumiFailed(" ".join(words), last_words(done.stderr))
        deployment: Mapping[str, Any] = json.loads(done.stdout).get("deployment") or {}
        return deployment

    def start(self, words: list[str], log: Path, keep: tuple[int, ...] = (), cwd: Path | None = None) -> Process:
        """Start a command of its own session, which no Ctrl-C of ours reaches, with its output in a file."""
        handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            return subprocess.Popen(
                words,
                cwd=cwd or self.project,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=handle,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=keep,
            )
        finally:
            os.close(handle)

    @staticmethod
    def wait(process: Process) -> int:
        """Its exit code."""
        return process.wait()


Process = subprocess.Popen[bytes]


def text_of(log: Path) -> str:
    """What a command has written so far."""
    return log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""


def last_words(text: str) -> str:
    """The end of what a command said, on few lines."""
    lines = [line.rstrip() for line in text.splitlines() if line.strip()]
    return "\n".join(lines)[-_LAST_WORDS:] or "it said nothing"
