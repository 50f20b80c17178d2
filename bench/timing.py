"""Timing things side by side, so that a busy machine slows all of them."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Sequence

from bench.rounds import By, Rounds

Clock = Callable[[], float]


def children_cpu() -> float:
    """CPU seconds of all processes that this one started and waited for, and of theirs."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def in_turns(works: Sequence[Callable[[], object]], rounds: int) -> list[list[float]]:
    """Seconds of each work in each round, after one round that is not counted; they take turns."""
    [taken] = by_clocks(works, rounds, [time.perf_counter])
    return taken


def by_clocks(works: Sequence[Callable[[], object]], rounds: int, clocks: Sequence[Clock]) -> list[list[list[float]]]:
    """For each clock what each work took by it in each round; otherwise as in_turns."""
    for work in works:
        work()
    taken: list[list[list[float]]] = [[[] for _ in works] for _ in clocks]
    for _ in range(rounds):
        for index, work in enumerate(works):
            began = [clock() for clock in clocks]
            work()
            for which, clock in enumerate(clocks):
                taken[which][index].append(clock() - began[which])
    return taken


def side_by_side(
    reference: Callable[[], object], ours: Callable[[], object], rounds: int, by: By = By.SHORTEST
) -> Rounds:
    """What both took in each round, in turns."""
    theirs, own = in_turns([reference, ours], rounds)
    return Rounds(tuple(theirs), tuple(own), by)
