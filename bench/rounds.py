"""Seconds of the same work done several times, and what to say of them."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class By(StrEnum):
    """Which of several times is compared."""

    SHORTEST = "shortest"
    """For work so short that anything longer is another process's doing."""
    MEDIAN = "median"

    def of(self, values: Sequence[float]) -> float:
        """That one of `values`, which are not empty."""
        return min(values) if self is By.SHORTEST else statistics.median(values)


@dataclass(frozen=True, slots=True)
class Rounds:
    """What each side took in each round, in its own order; `by` says which of them is compared."""

    reference: tuple[float, ...]
    ours: tuple[float, ...]
    by: By = By.SHORTEST

    def per(self, times: int) -> Rounds:
        """The same for one of `times` pieces of work that each round did."""
        theirs, ours = (tuple(value / times for value in values) for values in (self.reference, self.ours))
        return Rounds(theirs, ours, self.by)


def spread(values: Sequence[float]) -> float:
    """Half of the interquartile range over the median: 0.02 is a median ± 2 %. Zero for a single value.

    Quartiles as Hyndman and Fan's type 7, which takes nothing from beyond the values (`inclusive`).
    """
    if len(values) < 2:
        return 0.0
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return (high - low) / 2 / median if median else 0.0
