"""What a rollout's journal says, one record a step: the whole state is a fold over them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Step(StrEnum):
    """What is done with a stack, in order; RECHECK only with one that was done before a resume."""

    RECHECK = "recheck"
    """A preview that must show no change."""
    UPDATE = "update"
    GATES = "gates"
    SOAK = "soak"
    REGATE = "regate"
    """The gates once more, after the soak."""
    ROLLBACK = "rollback"


EFFECTS = frozenset({Step.UPDATE, Step.ROLLBACK})
"""Steps that change something: their beginning is in the journal too, so that nobody forgets one that may still run."""


class Final(StrEnum):
    """How a stack ended: exactly one of these."""

    DONE = "done"
    FAILED = "failed"
    ROLLED_BACK = "rolled-back"
    INTERRUPTED = "interrupted"
    HELD = "held"
    NOT_STARTED = "not-started"


class Outcome(StrEnum):
    """How a rollout ended."""

    COMPLETE = "complete"
    """Every stack is done, or held on purpose."""
    FAILED = "failed"
    STOPPED = "stopped"
    """Somebody asked for it."""
    ABORTED = "aborted"


class Kind(StrEnum):
    """Kinds of records."""

    BEGUN = "begun"
    """First record. details: plan (hash), pid."""
    RESUMED = "resumed"
    """A new process went on. details: retry (the run had ended), pid."""
    WAVE = "wave"
    """A wave opened. details: index."""
    STARTED = "started"
    ENDED = "ended"
    """details: what the step measured."""
    FINAL = "final"
    """details: state."""
    STOP = "stop"
    """Nothing more is started. reason: failures, asked, aborted."""
    INTERRUPT = "interrupt"
    """Everything in work is interrupted."""
    FINISHED = "finished"
    """Last record. details: outcome."""


@dataclass(frozen=True, slots=True)
class Record:
    """One line of the journal. `at`: seconds since the epoch."""

    kind: Kind
    at: float
    stack: str = ""
    step: Step | None = None
    ok: bool | None = None
    reason: str = ""
    """One word for programs: `gate-failed`."""
    cause: str = ""
    """A sentence for people."""
    details: Mapping[str, Any] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """As JSON; what is empty is left out."""
        found: dict[str, Any] = {"kind": self.kind.value, "at": self.at}
        if self.stack:
            found["stack"] = self.stack
        if self.step is not None:
            found["step"] = self.step.value
        if self.ok is not None:
            found["ok"] = self.ok
        if self.reason:
            found["reason"] = self.reason
        if self.cause:
            found["cause"] = self.cause
        if self.details:
            found["details"] = dict(self.details)
        return found

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Record:
        """From JSON. Raises KeyError, TypeError or ValueError if it is no record."""
        return cls(
            kind=Kind(document["kind"]),
            at=float(document["at"]),
            stack=str(document.get("stack", "")),
            step=Step(document["step"]) if "step" in document else None,
            ok=document.get("ok"),
            reason=str(document.get("reason", "")),
            cause=str(document.get("cause", "")),
            details=dict(document.get("details", {})),
        )


def final(at: float, stack: str, state: Final, reason: str = "", cause: str = "") -> Record:
    """The record that a stack ended."""
    return Record(Kind.FINAL, at, stack=stack, reason=reason, cause=cause, details={"state": state.value})
