"""What a check finds, and what a check is."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from talos_gpu.doctor.view import View


class Severity(StrEnum):
    """How bad it is."""

    ERROR = "error"
    """The GPU does not work, or not for this workload."""
    WARNING = "warning"
    """It works, and will break or is a risk."""
    NOTE = "note"
    """Worth knowing."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong."""

    check: str
    severity: Severity
    evidence: str
    """What was read, and where."""
    cause: str
    remedy: str
    """The very command or config key."""
    source: str
    """Issue, document or file that says so."""
    explained_by: str = ""
    """The check whose finding explains this one; "" for a root."""


@dataclass(frozen=True, slots=True)
class Found:
    """Evidence with a cause or remedy that is more exact than the check's own."""

    evidence: str
    cause: str = ""
    remedy: str = ""


Looks = Callable[["View"], Iterable[str | Found]]


@dataclass(frozen=True, slots=True)
class Check:
    """One question to the evidence: what it means if the answer is yes, and what other findings then follow."""

    name: str
    severity: Severity
    cause: str
    remedy: str
    source: str
    look: Looks
    explains: tuple[str, ...] = ()
    """Checks whose findings are consequences of this one."""


class Lacks(StrEnum):
    """What a check of severity error had not, so that a fault may be there unseen."""

    NOTHING = ""
    """A check of lesser weight, one of the stack's own facts, or what is not there to be read."""
    RIGHTS = "rights"
    """Node and cluster answer, and who asks may not read it: a reader's answer is the answer that a reader can have."""
    EVIDENCE = "evidence"
    """Node or cluster did not say it."""


@dataclass(frozen=True, slots=True)
class NotRun:
    """A check that could not run, and why."""

    check: str
    reason: str
    lacks: Lacks = Lacks.NOTHING


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """All findings, roots first, each followed by what it explains."""

    subject: str
    findings: tuple[Finding, ...]
    not_run: tuple[NotRun, ...]
    ran: int
    """How many checks ran."""

    @property
    def roots(self) -> tuple[Finding, ...]:
        """Findings that no other explains: the only ones that count."""
        return tuple(finding for finding in self.findings if not finding.explained_by)

    @property
    def blind(self) -> tuple[NotRun, ...]:
        """Checks of severity error that node or cluster gave no evidence for, rights aside."""
        return tuple(one for one in self.not_run if one.lacks is Lacks.EVIDENCE)

    @property
    def exit_code(self) -> int:
        """0 nothing wrong, 1 errors or warnings, 2 nothing found where it could not be told that nothing is there."""
        if any(finding.severity is not Severity.NOTE for finding in self.roots):
            return 1
        return 0 if self.ran and not self.blind else 2
