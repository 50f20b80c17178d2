"""The interface to whatever carries a rollout's steps out. The real one runs processes; the tests' has virtual time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from talos_gpu.rollout.records import Step


@dataclass(frozen=True, slots=True)
class Ended:
    """A step ended. An interrupted one has the reason `interrupted`."""

    stack: str
    step: Step
    ok: bool
    reason: str = ""
    """One word: update-failed, locked, gate-failed, gate-unknown, drifted, interrupted."""
    cause: str = ""
    """A sentence, and its remedy where there is one."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """What was measured, as JSON."""


@dataclass(frozen=True, slots=True)
class Said:
    """The newest line of what a stack's step says; for people only."""

    stack: str
    line: str


@dataclass(frozen=True, slots=True)
class Asked:
    """Somebody wants it to stop: the first time gently, the second time now."""


@dataclass(frozen=True, slots=True)
class Moved:
    """What is no longer as it was approved."""

    lines: tuple[str, ...] = ()
    settling: bool = False
    """Only its state differs, and has operations pending: somebody's update is under way, or was cut off."""


Happened = Ended | Said | Asked


class Runner(Protocol):
    """Carries out steps, any number at the same time."""

    def now(self) -> float:
        """Seconds since the epoch."""
        ...

    def begin(self, stack: str, step: Step) -> None:
        """Begin a step and return at once; the record of its start is in the journal already."""
        ...

    def wait(self, until: float | None) -> Happened | None:
        """Block for what happens next; None when `until` (seconds since the epoch) is reached."""
        ...

    def interrupt(self, stack: str) -> None:
        """End a stack's step as soon as that is safe; its Ended still comes."""
        ...
