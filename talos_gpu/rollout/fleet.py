"""The state of a rollout, folded from its records, and what is to be done next. No clock, no process, no file.

`apply` is the only thing that changes it, one record at a time; the same records give the same state, which is what a
resume relies on. The decisions from that state are in `talos_gpu.rollout.decide`.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from talos_gpu.rollout.plan import Plan
from talos_gpu.rollout.queue import WaveQueue
from talos_gpu.rollout.records import Final, Kind, Outcome, Record, Step

_UP_AGAIN = frozenset({Final.DONE})
"""Ends after which a stack no longer counts as unavailable; of any other nobody has shown that it works.

Nor of one that was rolled back: its gates are not asked again.
"""
_FAILURES = frozenset({Final.FAILED, Final.ROLLED_BACK})


@dataclass(slots=True)
class Entry:
    """One stack."""

    name: str
    cluster: str
    wave: int
    order: int
    first: Step = Step.UPDATE
    """What it starts with: RECHECK after a resume if it was done."""
    step: Step | None = None
    """What it is in now, or was in last."""
    running: bool = False
    ok: bool = False
    """Whether the last step that ended went well."""
    final: Final | None = None
    reason: str = ""
    cause: str = ""
    since: float = 0.0
    """When the step began, seconds since the epoch."""
    attempts: int = 0
    """Updates begun."""


@dataclass(slots=True)
class Fleet:
    """A rollout in progress."""

    plan: Plan
    entries: dict[str, Entry] = field(init=False)
    running: dict[str, Entry] = field(default_factory=dict)
    """In work, in the order of their start: between the first step and the final record."""
    down: Counter[str] = field(default_factory=Counter)
    """Unavailable stacks by cluster."""
    ended: deque[Record] = field(default_factory=deque)
    """Ended steps that nothing followed yet."""
    failures: int = 0
    canary_failed: bool = False
    stop: str = ""
    """Why nothing more is started; "" while something may be."""
    asked: bool = False
    """Somebody has asked once for the end."""
    interrupting: bool = False
    must_recover: bool = False
    """A killed process left stacks in work: they are brought to their end even if nothing more is started."""
    wave: int = -1
    """The open one; -1 before the first, when a resume ends what was begun and left unavailable."""
    queue: WaveQueue = field(init=False)
    """Stacks of the open wave that have not started."""
    outcome: Outcome | None = None
    begun: bool = False
    _down: set[str] = field(default_factory=set)
    _recovery_parallel: int = 1

    def __post_init__(self) -> None:
        order = ((name, index) for index, wave in enumerate(self.plan.waves) for name in wave.stacks)
        self.entries = {
            name: Entry(name, self.plan.stacks[name].cluster, wave, position)
            for position, (name, wave) in enumerate(order)
        }
        self.queue = WaveQueue(self.plan.max_unavailable)

    @property
    def max_parallel(self) -> int:
        """How many may be in work in the open wave."""
        return self.plan.waves[self.wave].max_parallel if self.wave >= 0 else self._recovery_parallel

    def pending(self) -> Iterator[Entry]:
        """Stacks without an end that are not in work, in order."""
        return (entry for entry in self.entries.values() if entry.final is None and entry.name not in self.running)

    def counts(self) -> Mapping[Final, int]:
        """How many stacks have ended how."""
        return Counter(entry.final for entry in self.entries.values() if entry.final is not None)

    def is_down(self, name: str) -> bool:
        """Whether a stack counts as unavailable."""
        return name in self._down

    def fold(self, records: Sequence[Record] | Iterator[Record]) -> None:
        """Apply many."""
        for record in records:
            self.apply(record)

    def apply(self, record: Record) -> None:
        """Take one record in."""
        match record.kind:
            case Kind.BEGUN:
                self.begun = True
            case Kind.RESUMED:
                self._resume(retry=bool(record.details.get("retry")))
            case Kind.WAVE:
                self._open(int(record.details["index"]))
            case Kind.STARTED:
                self._start(record)
            case Kind.ENDED:
                self._end(record)
            case Kind.FINAL:
                self._final(record)
            case Kind.STOP:
                self.stop, self.asked = self.stop or record.reason, self.asked or record.reason == "asked"
            case Kind.INTERRUPT:
                self.interrupting = True
                self.stop = self.stop or "asked"
            case Kind.FINISHED:
                self.outcome = Outcome(record.details["outcome"])

    def _open(self, index: int) -> None:
        self.wave = index
        for name in self.plan.waves[index].stacks:
            entry = self.entries[name]
            if entry.final is None and name not in self.running:
                self._queue(entry)

    def _queue(self, entry: Entry) -> None:
        down, free = entry.name in self._down, entry.first is Step.RECHECK
        self.queue.put(entry.name, entry.cluster, down=down, free=free)

    def _start(self, record: Record) -> None:
        entry = self.entries[record.stack]
        if record.step is not Step.RECHECK:
            self._mark_down(entry)
        self.running[entry.name] = entry
        entry.step, entry.running, entry.since = record.step, True, record.at
        entry.cause = record.cause
        entry.attempts += record.step is Step.UPDATE

    def _end(self, record: Record) -> None:
        entry = self.entries[record.stack]
        # steps without an effect have no record of their start: a fold over the journal sees only their end
        entry.step, entry.running, entry.ok = record.step, False, bool(record.ok)
        self.ended.append(record)

    def _final(self, record: Record) -> None:
        entry = self.entries[record.stack]
        entry.final = Final(record.details["state"])
        entry.reason, entry.cause, entry.running = record.reason, record.cause, False
        entry.since = record.at
        self.running.pop(entry.name, None)
        if entry.final in _UP_AGAIN:
            self._mark_up(entry)
        if entry.final in _FAILURES:
            self.failures += 1
            self.canary_failed = self.canary_failed or entry.wave == 0

    def _mark_down(self, entry: Entry) -> None:
        if entry.name not in self._down:
            self._down.add(entry.name)
            self.down[entry.cluster] += 1
            self.queue.taken(entry.cluster, self.down[entry.cluster])

    def _mark_up(self, entry: Entry) -> None:
        if entry.name in self._down:
            self._down.remove(entry.name)
            self.down[entry.cluster] -= 1
            self.queue.freed(entry.cluster, self.down[entry.cluster])

    def _resume(self, *, retry: bool) -> None:
        """Go back to before the first wave; `retry`: what failed or was held gets another turn."""
        kept = set() if retry else {*_FAILURES, Final.HELD}
        for entry in self.entries.values():
            if entry.final in kept:
                continue
            entry.first = self._first(entry)
            if entry.first is not Step.ROLLBACK:
                entry.cause = ""
            entry.final, entry.step, entry.reason, entry.running = None, None, "", False
        self.running.clear()
        self.ended.clear()
        self.queue = WaveQueue(self.plan.max_unavailable, self.down)
        left = sorted((entry for entry in map(self.entries.__getitem__, self._down) if entry.final is None), key=_order)
        for entry in left:
            self._queue(entry)
        self._recovery_parallel = min((self.plan.waves[entry.wave].max_parallel for entry in left), default=1)
        self.wave, self.interrupting, self.asked, self.outcome = -1, False, False, None
        self.must_recover = not retry
        if retry:
            self.failures, self.canary_failed, self.stop = 0, False, ""
        elif self.stop != "failures":
            self.stop = ""

    @staticmethod
    def _first(entry: Entry) -> Step:
        """What a stack starts with after a resume."""
        if entry.final is Final.DONE:
            return Step.RECHECK
        if entry.step is None or entry.step is Step.RECHECK:
            return Step.UPDATE if entry.final is Final.FAILED else entry.first
        if entry.final is not None:
            return Step.UPDATE
        if entry.step is Step.ROLLBACK:
            return Step.ROLLBACK
        updated = entry.step is not Step.UPDATE or (entry.ok and not entry.running)
        return Step.GATES if updated else Step.UPDATE


def _order(entry: Entry) -> int:
    return entry.order
