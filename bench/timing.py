"""Timing two things side by side, so that a busy machine slows both."""

from __future__ import annotations

import time
from collections.abc import Callable


def both(reference: Callable[[], object], ours: Callable[[], object], rounds: int) -> tuple[float, float]:
    """The shortest time of each in seconds, after one round that is not counted; they take turns."""
    reference()
    ours()
    best = [float("inf"), float("inf")]
    for _ in range(rounds):
        for index, work in enumerate((reference, ours)):
            start = time.perf_counter()
            work()
            best[index] = min(best[index], time.perf_counter() - start)
    return best[0], best[1]
