"""What is to be done next, from a rollout's state alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from talos_gpu.rollout.fleet import Entry, Fleet
from talos_gpu.rollout.records import Final, Kind, Outcome, Record, Step, final


@dataclass(frozen=True, slots=True)
class Begin:
    """Begin a step of a stack."""

    stack: str
    step: Step
    cause: str = ""
    """Of a rollback: what failed."""


Decision = Begin | Record


@dataclass(frozen=True, slots=True)
class Conditions:
    """What the state does not know."""

    now: float
    """Seconds since the epoch."""
    window_open: bool
    held: Callable[[str], bool]
    """Whether a stack must not be started."""
    may_roll_back: Callable[[str], bool]
    """Whether going back to a stack's last good commit is possible and safe."""


def decide(fleet: Fleet, given: Conditions) -> Iterator[Decision]:
    """Everything that can be decided now.

    Whoever iterates must apply each decision to `fleet` before asking for the next one (a Begin as a `started` record).
    Nothing at all means: wait for a step to end, for a window, or for a hold to go.
    """
    while fleet.ended:
        yield from _after(fleet, fleet.ended.popleft(), given)
    while fleet.outcome is None:
        if not fleet.stop and _too_many(fleet):
            yield Record(Kind.STOP, given.now, reason="failures", cause=_why(fleet))
        if fleet.stop and not _recovers(fleet):
            if not fleet.running:
                yield from _finish(fleet, given)
            return
        yield from _fill(fleet, given)
        if fleet.running or (len(fleet.queue) and not given.window_open):
            return
        yield from _strand(fleet, given.now)
        if fleet.stop:
            continue
        if fleet.wave + 1 == len(fleet.plan.waves):
            yield from _finish(fleet, given)
            return
        yield Record(Kind.WAVE, given.now, details={"index": fleet.wave + 1})


def _after(fleet: Fleet, ended: Record, given: Conditions) -> Iterator[Decision]:
    entry, step = fleet.entries[ended.stack], ended.step
    following = {Step.UPDATE: Step.GATES, Step.SOAK: Step.REGATE}
    if ended.ok and step is Step.GATES and fleet.plan.waves[entry.wave].soak_s:
        following[Step.GATES] = Step.SOAK
    if ended.ok and step in following:
        if fleet.interrupting:
            yield final(given.now, entry.name, Final.INTERRUPTED, "interrupted", f"interrupted after {step.value}")
        else:
            yield Begin(entry.name, following[step])
    elif ended.ok and step is Step.ROLLBACK:
        yield final(given.now, entry.name, Final.ROLLED_BACK, "gate-failed", entry.cause)
    elif ended.ok:
        yield final(given.now, entry.name, Final.DONE)
    elif ended.reason == "interrupted":
        yield final(given.now, entry.name, Final.INTERRUPTED, ended.reason, ended.cause)
    elif ended.reason == "gate-failed" and not fleet.interrupting and given.may_roll_back(entry.name):
        # a gate that could not tell has shown nothing that going back would mend
        yield Begin(entry.name, Step.ROLLBACK, ended.cause)
    else:
        yield final(given.now, entry.name, Final.FAILED, ended.reason, ended.cause)


def _too_many(fleet: Fleet) -> bool:
    return fleet.canary_failed or fleet.failures > fleet.plan.max_failures


def _recovers(fleet: Fleet) -> bool:
    left = len(fleet.queue) or fleet.running
    return fleet.must_recover and fleet.wave < 0 and fleet.stop == "failures" and not fleet.asked and bool(left)


def _why(fleet: Fleet) -> str:
    if fleet.canary_failed:
        return "a stack of the first wave failed"
    return f"{fleet.failures} failed, {fleet.plan.max_failures} may"


def _fill(fleet: Fleet, given: Conditions) -> Iterator[Decision]:
    while given.window_open and len(fleet.running) < fleet.max_parallel:
        name = fleet.queue.take()
        if name is None:
            return
        entry = fleet.entries[name]
        if given.held(name):
            yield _on_hold(name, given.now)
        else:
            yield Begin(name, entry.first)


def _on_hold(name: str, now: float) -> Record:
    return final(now, name, Final.HELD, "held", "it is on hold")


def _strand(fleet: Fleet, now: float) -> Iterator[Decision]:
    """Nothing runs and the rest of the wave cannot start: its clusters have no room, and nothing will make any."""
    for name in sorted(fleet.queue.drain(), key=lambda name: fleet.entries[name].order):
        entry = fleet.entries[name]
        cause = f"cluster {entry.cluster} has {fleet.down[entry.cluster]} unavailable, {fleet.plan.max_unavailable} may"
        yield final(now, name, Final.NOT_STARTED, "cluster-unavailable", cause)


def _finish(fleet: Fleet, given: Conditions) -> Iterator[Decision]:
    now = given.now
    causes = {"failures": _why(fleet), "asked": "the rollout was interrupted", "aborted": "the rollout was aborted"}
    for entry in list(fleet.pending()):
        if entry.first is Step.RECHECK:
            yield final(now, entry.name, Final.DONE, "unverified", "done before the resume, not looked at again")
        elif given.held(entry.name):
            yield _on_hold(entry.name, now)
        else:
            yield final(now, entry.name, Final.NOT_STARTED, fleet.stop or "stopped", causes.get(fleet.stop, ""))
    yield Record(Kind.FINISHED, now, details={"outcome": outcome_of(fleet).value})


def outcome_of(fleet: Fleet) -> Outcome:
    """How it ends, every stack having its end."""
    counts = fleet.counts()
    if all(state in (Final.DONE, Final.HELD) for state in counts):
        return Outcome.COMPLETE
    if fleet.stop == "aborted":
        return Outcome.ABORTED
    failed = counts.get(Final.FAILED, 0) + counts.get(Final.ROLLED_BACK, 0)
    return Outcome.STOPPED if fleet.stop == "asked" and not failed else Outcome.FAILED


def phase(entry: Entry) -> str:
    """Where a stack is, in one word."""
    if entry.final is not None:
        return entry.final.value
    return entry.step.value if entry.step is not None and entry.running else "pending"
