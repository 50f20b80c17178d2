"""The Pulumi command line: how a stack is previewed, exported and updated, and what its engine says meanwhile.

The command line rather than `pulumi.automation`: that one selects the stack for the whole checkout before each
operation (pulumi/pulumi#8186), starts further processes for it, and reads its child through a pipe, so that the child
dies with whoever started it. Here an update writes to files and outlives a killed rollout.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from talos_gpu.errors import UsageError
from talos_gpu.rollout.errors import PulumiFailed
from talos_gpu.rollout.plan import Change
from talos_gpu.verify.report import NOT_PROVEN_YET

LOCKED = ("the stack is currently locked by", "[409] Conflict: Another update is currently in progress")
"""What the engine says when another holds a stack's lock: DIY backends, and the service (pulumi.automation.errors)."""
CONFLICT = "the object has been modified; please apply your changes to the latest version and try again"
"""What the API server says when a controller wrote an object between a provider's read and its write.

pulumi-kubernetes (await.go, fixCSAFieldManagers) does not try again by itself, at an object's first update after its
creation; right after a node's restart controllers write a lot.
"""
UNEXPECTED = "no changes were expected but changes were proposed"
"""What the engine says of a preview with --expect-no-changes; any other failure is one."""
_UNCHANGED = frozenset({"same", "read", "refresh", "read-replacement"})
_VERIFIED = "pulumi-python:dynamic/gpu:Verified"
_LAST_WORDS = 1000


@dataclass(slots=True)
class Told:
    """What one operation's engine told."""

    changes: list[Change] = field(default_factory=list)
    unproven: list[str] = field(default_factory=list)
    """Names of those changes that are only a proof which a busy encoder has put off (`verify: true`)."""
    errors: list[str] = field(default_factory=list)
    result: Mapping[str, int] = field(default_factory=dict)
    """How many resources were created, updated, left as they were."""


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

    def preview(self, stack: str, folder: Path, *, refresh: bool) -> Told:
        """What an update would do. `folder` is for the engine's events. Raises PulumiFailed with what it said."""
        events, log = folder / f"{stack}.preview.events", folder / f"{stack}.preview.log"
        flags = ["--refresh"] if refresh else []
        try:
            code = self.wait(self.start(self.words("preview", stack, events, *flags), log))
            told = read_events(events)
        finally:
            events.unlink(missing_ok=True)
        if code:
            raise PulumiFailed(f"preview --stack {stack}", cause(told, log))
        return told

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


def read_events(path: Path) -> Told:
    """What is in an engine's event log; a torn last line is left out."""
    told = Told()
    for event in _events(path):
        if "resourcePreEvent" in event:
            change = _change(event["resourcePreEvent"]["metadata"])
            if change is not None:
                told.changes.append(change)
                if _is_put_off(event["resourcePreEvent"]["metadata"]):
                    told.unproven.append(change.name)
        elif "diagnosticEvent" in event:
            if event["diagnosticEvent"].get("severity") == "error":
                told.errors.append(str(event["diagnosticEvent"]["message"]).strip())
        elif "summaryEvent" in event:
            told.result = event["summaryEvent"].get("resourceChanges") or {}
    told.changes.sort(key=lambda change: (change.name, change.type, change.op))  # the engine's order differs each time
    return told


def _events(path: Path) -> Iterator[Mapping[str, Any]]:
    if not path.exists():
        return
    with path.open("rb") as file:
        for line in file:
            if line.endswith(b"\n") and b'"severity":"debug"' not in line:
                yield json.loads(line)


def _change(metadata: Mapping[str, Any]) -> Change | None:
    op, kind = str(metadata["op"]), str(metadata["type"])
    if op in _UNCHANGED or kind == "pulumi:pulumi:Stack" or kind.startswith("pulumi:providers:"):
        return None
    detailed = metadata.get("detailedDiff") or {}
    paths = sorted(detailed) or sorted(metadata.get("diffs") or ())
    return Change(op=op, type=kind, name=str(metadata["urn"]).rpartition("::")[2], properties=tuple(paths))


def _is_put_off(metadata: Mapping[str, Any]) -> bool:
    """Whether a change is a `Verified` whose proof is put off, and nothing else of it differs."""
    if metadata["type"] != _VERIFIED or metadata["op"] != "update":
        return False
    drift = ((metadata.get("old") or {}).get("outputs") or {}).get("drift") or ()
    old, new = (((metadata.get(which) or {}).get("inputs") or {}) for which in ("old", "new"))
    return bool(drift) and old == new and all(str(found).startswith(NOT_PROVEN_YET) for found in drift)


def is_locked(text: str) -> bool:
    """Whether the engine says that another has the stack's lock."""
    return any(words in text for words in LOCKED)


def cause(told: Told, log: Path) -> str:
    """Why an operation failed, in its own last words."""
    return last_words("\n".join(told.errors)) if told.errors else last_words(text_of(log))


def text_of(log: Path) -> str:
    """What a command has written so far."""
    return log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""


def last_words(text: str) -> str:
    """The end of what a command said, on few lines."""
    lines = [line.rstrip() for line in text.splitlines() if line.strip()]
    return "\n".join(lines)[-_LAST_WORDS:] or "it said nothing"
