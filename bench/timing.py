"""Timing things side by side, so that a busy machine slows all of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence


def in_turns(works: Sequence[Callable[[], object]], rounds: int) -> list[list[float]]:
    """Seconds of each work in each round, after one round that is not counted; they take turns."""
    for work in works:
        work()
    taken: list[list[float]] = [[] for _ in works]
    for _ in range(rounds):
        for seconds, work in zip(taken, works, strict=True):
            start = time.perf_counter()
            work()
            seconds.append(time.perf_counter() - start)
    return taken


def both(reference: Callable[[], object], ours: Callable[[], object], rounds: int) -> tuple[float, float]:
    """The shortest time of each in seconds; for work so short that anything longer is another process's doing."""
    theirs, own = in_turns([reference, ours], rounds)
    return min(theirs), min(own)
