"""What a measurement says: a ratio, an amount, two amounts side by side, a person's steps, or a note beside one.

Each is a row of the table and of the history, by its `kind`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Self

from bench.rounds import Rounds
from bench.steps import Step


@dataclass(frozen=True, slots=True)
class Figure:
    """Seconds of ours beside a reference's, on one machine; `bar` is the highest ratio allowed, None for none."""

    name: str
    reference: str
    reference_s: float
    ours_s: float
    bar: float | None
    rounds: Rounds | None = None
    """All times that the two are of; None where each is of one run alone, or of a kind of its own."""
    kind: Literal["figure"] = "figure"

    @classmethod
    def of(cls, name: str, reference: str, rounds: Rounds, bar: float | None) -> Self:
        """The figure of some rounds."""
        return cls(name, reference, rounds.by.of(rounds.reference), rounds.by.of(rounds.ours), bar, rounds)

    @property
    def ratio(self) -> float:
        """Ours over the reference's."""
        return self.ours_s / self.reference_s

    @property
    def within(self) -> bool:
        """Whether the bar holds."""
        return self.bar is None or self.ratio <= self.bar


@dataclass(frozen=True, slots=True)
class Amount:
    """A figure without a reference: `value` in `unit`; `bar` is the most allowed, None for none."""

    name: str
    value: float
    unit: str
    bar: float | None
    where: str = ""
    """What the most of it is."""
    kind: Literal["amount"] = "amount"

    @property
    def within(self) -> bool:
        """Whether the bar holds."""
        return self.bar is None or self.value <= self.bar


@dataclass(frozen=True, slots=True)
class Beside:
    """Two amounts of one unit with no bar between them; None: it never came to that."""

    name: str
    reference: str
    theirs: float | None
    ours: float | None
    unit: str
    why: str = ""
    """What the two mean, where the name does not say it."""
    rounds: Rounds | None = None
    kind: Literal["beside"] = "beside"

    @classmethod
    def of(cls, name: str, reference: str, rounds: Rounds, unit: str, why: str = "") -> Self:
        """The two amounts of some rounds."""
        return cls(name, reference, rounds.by.of(rounds.reference), rounds.by.of(rounds.ours), unit, why, rounds)

    @property
    def ratio(self) -> float | None:
        """Ours over the reference's, where both are there and the reference is not zero."""
        return self.ours / self.theirs if self.theirs and self.ours is not None else None


@dataclass(frozen=True, slots=True)
class Steps:
    """What a person did, step by step."""

    name: str
    steps: tuple[Step, ...]
    kind: Literal["steps"] = "steps"


@dataclass(frozen=True, slots=True)
class Note:
    """What stands beside a figure to explain it."""

    name: str
    text: str
    kind: Literal["note"] = "note"


Row = Figure | Amount | Beside | Steps | Note
