"""What a person does to reach something, counted from the script that does it in the person's place."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum

WAIT_FOR_A_FINISHED_POD = "kubectl wait --for=condition=Ready pod/nvidia-cdi-generator"
"""A step of the write-up: by then the pod may have ended, and then never is Ready."""


class Act(StrEnum):
    """What kind of step it is."""

    EDIT = "file"
    """A file is written or edited."""
    COMMAND = "command"
    """A command is typed and waited for."""
    LOOK = "look"
    """An output is read, and what comes next depends on it."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a person and the seconds that the machine took for it."""

    act: Act
    what: str
    seconds: float
    repair: bool
    """Whether it is there only because a step before failed."""


class Person:
    """Does one step at a time and remembers them; no reading, typing or thinking is in the seconds."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self._repairing = False

    @contextmanager
    def does(self, act: Act, what: str) -> Iterator[None]:
        """Count one step, taken in the block. A step that raises is none: the script is at fault then."""
        began = time.monotonic()
        yield
        self._takes(act, what, time.monotonic() - began)

    def _takes(self, act: Act, what: str, seconds: float) -> None:
        self.steps.append(Step(act, what, seconds, self._repairing))

    def edits(self, what: str) -> None:
        """Count a file that is written or edited; the script has it ready, so the machine takes no time for it."""
        self._takes(Act.EDIT, what, 0.0)

    def looks(self, what: str) -> None:
        """Count an output that is read for what it says; the script knows it."""
        self._takes(Act.LOOK, what, 0.0)

    @contextmanager
    def repairing(self) -> Iterator[None]:
        """Steps in the block would not be there if the ones before had worked."""
        self._repairing = True
        try:
            yield
        finally:
            self._repairing = False
