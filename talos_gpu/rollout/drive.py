"""Carries a rollout out: decisions to the journal and to the runner, what happens back into the state."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from talos_gpu.rollout.decide import Begin, Conditions, decide
from talos_gpu.rollout.fleet import Fleet
from talos_gpu.rollout.records import EFFECTS, Kind, Outcome, Record
from talos_gpu.rollout.runner import Asked, Ended, Runner, Said
from talos_gpu.rollout.windows import is_open, next_opening


class View(Protocol):
    """Shows a rollout while it runs."""

    def record(self, fleet: Fleet, record: Record) -> None:
        """Show what just went into the state; also the starts that the journal leaves out."""
        ...

    def said(self, fleet: Fleet, said: Said) -> None:
        """Show a line of a step."""
        ...


@dataclass
class Drive:
    """One process's part of a rollout."""

    fleet: Fleet
    runner: Runner
    write: Callable[[Record], None]
    """Appends to the journal; the record is safe when it returns."""
    views: Sequence[View] = ()
    held: Callable[[str], bool] = field(default=lambda _: False)
    may_roll_back: Callable[[str], bool] = field(default=lambda _: False)

    def run(self) -> Outcome:
        """Go on until every stack has its end."""
        while True:
            for decision in decide(self.fleet, self._conditions()):
                if isinstance(decision, Begin):
                    self._begin(decision)
                else:
                    self._take(decision)
            if self.fleet.outcome is not None:
                return self.fleet.outcome
            self._happened()

    def begin(self, record: Record) -> None:
        """Put in the record with which this process's part starts."""
        self._take(record)

    def _conditions(self) -> Conditions:
        now = self.runner.now()
        return Conditions(now, is_open(self.fleet.plan.windows, now), self.held, self.may_roll_back)

    def _begin(self, decision: Begin) -> None:
        stack, step = decision.stack, decision.step
        started = Record(Kind.STARTED, self.runner.now(), stack=stack, step=step, cause=decision.cause)
        self._take(started, journal=step in EFFECTS)
        self.runner.begin(stack, step)

    def _take(self, record: Record, *, journal: bool = True) -> None:
        if journal:
            self.write(record)
        self.fleet.apply(record)
        for view in self.views:
            view.record(self.fleet, record)

    def _happened(self) -> None:
        happened = self.runner.wait(self._until())
        now = self.runner.now()
        if isinstance(happened, Ended):
            self._take(
                Record(
                    Kind.ENDED,
                    now,
                    stack=happened.stack,
                    step=happened.step,
                    ok=happened.ok,
                    reason=happened.reason,
                    cause=happened.cause,
                    details=happened.details,
                )
            )
        elif isinstance(happened, Said):
            for view in self.views:
                view.said(self.fleet, happened)
        elif isinstance(happened, Asked):
            self._asked(now)

    def _asked(self, now: float) -> None:
        if not self.fleet.asked:
            self._take(Record(Kind.STOP, now, reason="asked", cause="interrupted once: what runs is finished"))
        elif not self.fleet.interrupting:
            self._take(Record(Kind.INTERRUPT, now, reason="asked", cause="interrupted twice: what runs is ended"))
            for entry in list(self.fleet.running.values()):
                if entry.running:
                    self.runner.interrupt(entry.name)

    def _until(self) -> float | None:
        """When to look again; waiting stacks depend on windows, which open by the clock."""
        if not len(self.fleet.queue):
            return None
        return next_opening(self.fleet.plan.windows, self.runner.now())
