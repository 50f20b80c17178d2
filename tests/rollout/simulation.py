"""A fleet that exists only in virtual time: the runner is fake, everything above it is the real thing."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from talos_gpu.rollout.drive import Drive
from talos_gpu.rollout.fleet import Fleet
from talos_gpu.rollout.model import RolloutFile
from talos_gpu.rollout.plan import Plan, StackPlan
from talos_gpu.rollout.records import Kind, Record, Step
from talos_gpu.rollout.runner import Asked, Ended, Happened
from talos_gpu.rollout.waves import clusters_of, divide, select

START = 1_800_000_000.0
UNKNOWN = "could not tell"
"""In the words by which a gate fails that has shown nothing."""


class Killed(BaseException):
    """The process is gone, between two instructions."""


def plan_of(file: RolloutFile, known: Iterable[str], states: Mapping[str, str] | None = None) -> Plan:
    names = list(known)
    chosen, faults = select(file, names)
    clusters, more = clusters_of(file, chosen)
    waves, others = divide(file, chosen)
    assert not (faults or more or others), (faults, more, others)
    stacks = {
        name: StackPlan(name=name, cluster=clusters[name], config="c", state=(states or {}).get(name, "s"))
        for name in chosen
    }
    return Plan(
        fleet=file.fleet,
        made_at=START,
        commit="0" * 40,
        source="f" * 64,
        clean=True,
        rollout="r" * 64,
        waves=tuple(waves),
        stacks=stacks,
        max_unavailable=file.max_unavailable,
        max_failures=file.max_failures,
        lock_wait_s=file.lock_wait_s,
        windows=file.windows,
        gates=file.gates or (),
        rollback=file.rollback,
        refresh=file.refresh,
        stack_files=file.stack_files,
        holds=file.holds,
    )


@dataclass
class World:
    """What outlives a killed process: the nodes."""

    seconds: Callable[[str, Step], float] = lambda _stack, _step: 10.0
    broken: Callable[[str, Step], str] = lambda _stack, _step: ""
    """Why a step of a stack fails; "" when it does not."""
    now: float = START
    applied: dict[str, int] = field(default_factory=dict)
    """Stack -> updates that changed something. A second one on the same stack changes nothing."""
    orphans: list[tuple[float, str]] = field(default_factory=list)
    """Updates that outlive the process that began them: when each ends, and of which stack."""


@dataclass
class FakeRunner:
    """Steps take the time that the world says, and nothing of the machine's."""

    world: World
    asks: list[float] = field(default_factory=list)
    """When somebody presses Ctrl-C."""
    watch: Callable[[FakeRunner], None] = lambda _runner: None
    """Called at every start."""
    working: dict[str, tuple[float, Step]] = field(default_factory=dict)
    began: list[tuple[str, Step]] = field(default_factory=list)
    _due: list[tuple[float, int, Ended]] = field(default_factory=list)
    _serial: int = 0
    _interrupted: set[str] = field(default_factory=set)

    def now(self) -> float:
        return self.world.now

    def begin(self, stack: str, step: Step) -> None:
        assert stack not in self.working, f"{stack} is in work twice"
        self.began.append((stack, step))
        self.working[stack] = (0.0, step)
        self.watch(self)
        start = self.world.now
        if step is Step.UPDATE:  # Pulumi's own lock: an update that still runs is waited for
            start = max([start, *(end for end, name in self.world.orphans if name == stack)])
        end = start + self.world.seconds(stack, step)
        why = self.world.broken(stack, step)
        if step is Step.UPDATE and not why:
            self.world.applied.setdefault(stack, 0)
            self.world.applied[stack] += self.world.applied[stack] == 0
        self.working[stack] = (end, step)
        gate = "gate-unknown" if UNKNOWN in why else "gate-failed"
        reason = gate if step in (Step.GATES, Step.REGATE) else f"{step.value}-failed"
        ended = Ended(stack, step, not why, reason=why and reason, cause=why)
        self._serial += 1
        heapq.heappush(self._due, (end, self._serial, ended))

    def wait(self, until: float | None) -> Happened | None:
        ask = min(self.asks, default=None)
        end = self._due[0][0] if self._due else None
        times = [time for time in (ask, end, until) if time is not None]
        assert times, "nothing will ever happen"
        self.world.now = max(self.world.now, min(times))
        if ask is not None and ask == min(times):
            self.asks.remove(ask)
            return Asked()
        if end is None or (until is not None and until < end):
            return None
        ended = heapq.heappop(self._due)[2]
        del self.working[ended.stack]
        if ended.stack in self._interrupted:
            return Ended(ended.stack, ended.step, ok=False, reason="interrupted", cause="interrupted")
        return ended

    def interrupt(self, stack: str) -> None:
        self._interrupted.add(stack)

    def die(self) -> None:
        """The process is killed: its updates run on without it."""
        self.world.orphans = [(end, name) for name, (end, step) in self.working.items() if step is Step.UPDATE]


def run(
    plan: Plan,
    world: World,
    journal: list[Record],
    *,
    kill_after: int | None = None,
    write: Callable[[Record], None] | None = None,
    **runner: Any,
) -> tuple[Fleet, FakeRunner]:
    """One process's part of a rollout; resumes when the journal has records.

    `kill_after` counts half records: 4 kills it before its third record is written, 5 right after that.
    """
    fleet = Fleet(plan)
    fleet.fold(journal)
    budget = kill_after

    def keep(record: Record) -> None:
        nonlocal budget
        if budget == 0:
            raise Killed
        journal.append(record)
        if write:
            write(record)
        if budget == 1:
            raise Killed
        budget = None if budget is None else budget - 2

    held = runner.pop("held", lambda _: False)
    may_roll_back = runner.pop("may_roll_back", lambda _: False)
    fake = FakeRunner(world, **runner)
    drive = Drive(fleet, fake, keep, held=held, may_roll_back=may_roll_back)
    try:
        if fleet.begun:
            drive.begin(Record(Kind.RESUMED, world.now, details={"retry": fleet.outcome is not None}))
        else:
            drive.begin(Record(Kind.BEGUN, world.now, details={"plan": plan.hash}))
        drive.run()
    except Killed:
        fake.die()
        raise
    return fleet, fake


def finals(fleet: Fleet) -> dict[str, str]:
    return {name: entry.final.value if entry.final else "none" for name, entry in fleet.entries.items()}


def unavailable(fleet: Fleet) -> Counter[str]:
    """Unavailable stacks by cluster, counted anew from the entries."""
    return Counter(entry.cluster for entry in fleet.entries.values() if fleet.is_down(entry.name))
