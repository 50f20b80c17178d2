"""The real runner: one `pulumi` process per update, one thread that waits for it, gates and soaks beside them.

An update's process writes to files and has a session of its own, so that neither a Ctrl-C nor the death of this process
ends it. It inherits a lock file per stack: whoever resumes waits for that lock, that is, for the update that an earlier
process left running.
"""

from __future__ import annotations

import fcntl
import os
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from talos_gpu.errors import TalosGpuError
from talos_gpu.rollout import diagnosis, gates, past
from talos_gpu.rollout.gates import Asked as GateAsked
from talos_gpu.rollout.gates import Figures
from talos_gpu.rollout.model import Gate
from talos_gpu.rollout.pulumi_cli import Process, Pulumi, text_of
from talos_gpu.rollout.records import Step
from talos_gpu.rollout.runner import Asked, Ended, Happened, Moved, Said
from talos_gpu.rollout.told import CONFLICT, UNEXPECTED, Told, cause, is_locked, read_events

_LOOK_S = 0.25
"""Seconds between two looks at what a process has written."""
_LOCK_RETRY_S = 2.0
_CONFLICTS = 2
"""How often an operation is tried again after a conflict of writes."""
_SETTLING = "somebody's update of it is under way or was cut off: its state has operations pending"


@dataclass
class _Work:
    """One step in work."""

    stack: str
    step: Step
    stop: threading.Event = field(default_factory=threading.Event)
    process: Process | None = None
    guard: threading.Lock = field(default_factory=threading.Lock)

    def interrupt(self) -> None:
        with self.guard:
            self.stop.set()
            if self.process is not None and self.process.poll() is None:
                self.process.send_signal(signal.SIGINT)  # the engine ends what it is doing, saves, and goes


@dataclass
class Processes:
    """Carries steps out on the real engine. As `talos_gpu.rollout.runner.Runner`."""

    pulumi: Pulumi
    logs: Path
    gates: Sequence[Gate]
    soaks: Callable[[str], float]
    """Seconds of a stack's soak."""
    lock_wait_s: float
    refresh: bool
    roll_back: Callable[[str], Pulumi]
    """The project as it was when a stack was last good."""
    moved: Callable[[str, Step], Moved] = lambda _stack, _step: Moved()
    """What is no longer as it was approved; asked right before a stack is touched."""
    measured: Callable[[str], Figures] = lambda _: {}
    """What the gates measured when a stack was last good."""
    diagnose: Callable[[str, Path], diagnosis.Told] = diagnosis.look
    """Why a stack may have failed; asked right after."""
    begun: Collection[str] = ()
    """Stacks that an earlier process has begun: it is too late to measure what was before their update."""
    updates: dict[str, Mapping[str, object]] = field(default_factory=dict)
    """Stack -> details of its last update, for its gates; at first those of earlier processes."""
    _happened: queue.SimpleQueue[Happened] = field(default_factory=queue.SimpleQueue)
    _working: dict[str, _Work] = field(default_factory=dict)
    _before: dict[str, Figures] = field(default_factory=dict)

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    def ask(self) -> None:
        """Somebody pressed Ctrl-C; safe in a signal handler."""
        self._happened.put(Asked())

    def begin(self, stack: str, step: Step) -> None:
        """Begin a step in a thread of its own."""
        work = self._working[stack] = _Work(stack, step)
        threading.Thread(target=self._carry_out, args=(work,), name=f"{step.value} {stack}", daemon=True).start()

    def wait(self, until: float | None) -> Happened | None:
        """What happens next; None when `until` is reached."""
        try:
            return self._happened.get(timeout=None if until is None else max(0.0, until - time.time()))
        except queue.Empty:
            return None

    def interrupt(self, stack: str) -> None:
        """End what a stack is in."""
        work = self._working.get(stack)
        if work is not None:
            work.interrupt()

    def _carry_out(self, work: _Work) -> None:
        steps: Mapping[Step, Callable[[_Work], Ended]] = {
            Step.RECHECK: self._recheck,
            Step.UPDATE: self._update,
            Step.GATES: self._gates,
            Step.SOAK: self._soak,
            Step.REGATE: self._gates,
            Step.ROLLBACK: self._rollback,
        }
        try:
            ended = self._explained(work, steps[work.step](work))
        except TalosGpuError as error:
            ended = _failed(work, f"{work.step.value}-failed", str(error))
        except Exception as error:
            ended = _failed(work, "internal", f"{type(error).__name__}: {error}")
        if self._working.get(work.stack) is work:
            del self._working[work.stack]
        self._happened.put(ended)

    def _explained(self, work: _Work, ended: Ended) -> Ended:
        if ended.ok or ended.reason not in diagnosis.REASONS or work.stop.is_set():
            return ended
        self._happened.put(Said(work.stack, "doctor: looks for the cause"))
        return diagnosis.with_words(ended, self.diagnose(work.stack, self.pulumi.stack_file(work.stack)))

    def _update(self, work: _Work) -> Ended:
        def measured() -> Pulumi:
            if work.stack not in self.begun:
                asked = self._asking(work, "gate {}: measured before the update", {})
                self._before[work.stack] = gates.measure_before(self.gates, asked, self.measured(work.stack))
            return self.pulumi

        ended = self._operate(work, measured, "up", "--yes", "--skip-preview")
        if ended.ok:
            self.updates[work.stack] = past.after(self.updates.get(work.stack, {}), ended.details)
        return ended

    def _rollback(self, work: _Work) -> Ended:
        return self._operate(work, lambda: self.roll_back(work.stack), "up", "--yes", "--skip-preview")

    def _recheck(self, work: _Work) -> Ended:
        ended = self._operate(work, lambda: self.pulumi, "preview", "--expect-no-changes")
        if ended.ok or ended.reason in ("interrupted", "locked"):
            return ended
        found, unproven = ended.details.get("changes"), ended.details.get("unproven", ())
        changes = [change for change in found or () if change["name"] not in unproven]
        if (
            found and not changes and UNEXPECTED in ended.cause
        ):  # a transcode had the encoder at its update: its own proof waits for a later one
            return Ended(work.stack, work.step, ok=True, details=ended.details)
        if not changes:
            return ended
        shown = ", ".join(f"{change['op']} {change['name']}" for change in changes[:5])
        return Ended(work.stack, work.step, ok=False, reason="drifted", cause=f"it was done and now differs: {shown}")

    def _operate(self, work: _Work, ready: Callable[[], Pulumi], verb: str, *flags: str) -> Ended:
        """Run one Pulumi operation; a lock that another holds is waited for, so long as it was asked for.

        `ready` makes the project ready for it, once no earlier process works on the stack any more.
        """
        events, log = (self.logs / f"{work.stack}.{work.step.value}.{kind}" for kind in ("events", "log"))
        more = ("--refresh",) if self.refresh else ()
        began, waited, again, tried = time.monotonic(), False, 0, Told()
        handle = os.open(self.logs / f"{work.stack}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if not self._take_over(work, handle):
                return _interrupted(work, "interrupted before it began")
            taken = time.monotonic()
            pulumi = ready()
            words = pulumi.words(verb, work.stack, events, *flags, *more)
            began += time.monotonic() - taken
            deadline = time.monotonic() + self.lock_wait_s
            while True:
                ours = pulumi is not self.pulumi or again  # its state has moved by our own doing
                moved = Moved() if ours else self.moved(work.stack, work.step)
                if moved.lines and not moved.settling:
                    return _failed(work, "moved", f"not as it was approved any more: {'; '.join(moved.lines)}")
                code, told, why = None, Told(), _SETTLING
                if not moved.settling:
                    code = self._run(work, pulumi, words, log, handle)
                    if code is None:
                        return _interrupted(work, "interrupted before it began")
                    told = read_events(events)
                    told.changes[:0] = tried.changes
                    why = "" if code == 0 else cause(told, log)
                if code and CONFLICT in why and again < _CONFLICTS and not work.stop.is_set():
                    again, tried = again + 1, told
                    self._happened.put(Said(work.stack, "tries again: an object was modified meanwhile"))
                    work.stop.wait(_LOCK_RETRY_S)
                    continue
                locked = moved.settling or (code != 0 and is_locked(why + text_of(log)))
                if not locked or work.stop.is_set() or time.monotonic() >= deadline:
                    break
                if not waited:
                    self._happened.put(Said(work.stack, "waits: another holds the stack's lock"))
                waited = True
                work.stop.wait(min(_LOCK_RETRY_S, max(0.0, deadline - time.monotonic())))
        finally:
            os.close(handle)
            events.unlink(missing_ok=True)
        details = _details(told, time.monotonic() - began)
        if code == 0:
            return Ended(work.stack, work.step, ok=True, details=details)
        if work.stop.is_set():
            return _interrupted(work, "interrupted: the engine saved what it had done")
        if locked:
            remedy = f"if nobody works on it any more: `pulumi cancel --stack {work.stack}`"
            return Ended(work.stack, work.step, ok=False, reason="locked", cause=f"{why}\n{remedy}", details=details)
        return Ended(work.stack, work.step, ok=False, reason=f"{work.step.value}-failed", cause=why, details=details)

    def _take_over(self, work: _Work, handle: int) -> bool:
        """Wait for an update that an earlier process left running; False if interrupted meanwhile."""
        waited = False
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if not waited:
                    self._happened.put(Said(work.stack, "waits: an earlier rollout's update of it still runs"))
                waited = True
            else:
                return not work.stop.is_set()
            if work.stop.wait(_LOOK_S):
                return False

    def _run(self, work: _Work, pulumi: Pulumi, words: list[str], log: Path, handle: int) -> int | None:
        """Run a process to its end, telling what it says; None if interrupted before it began."""
        with work.guard:
            if work.stop.is_set():
                return None
            work.process = process = pulumi.start(words, log, keep=(handle,))
        begun = ""
        with log.open("rb") as written:
            while True:
                try:
                    code = process.wait(_LOOK_S)
                except subprocess.TimeoutExpired:
                    *lines, begun = (begun + written.read().decode(errors="replace")).split("\n")
                    for line in filter(None, map(str.strip, lines)):
                        self._happened.put(Said(work.stack, line))
                else:
                    return code

    def _gates(self, work: _Work) -> Ended:
        again = work.step is Step.GATES and self.soaks(work.stack)
        update = self.updates.get(work.stack, {}) if again else self.updates.pop(work.stack, {})
        began = time.monotonic()
        before = self._before.get(work.stack) or self.measured(work.stack)
        answers, reason, why = gates.ask(self.gates, self._asking(work, "gate {}", update), before)
        details = {"gates": answers, "seconds": round(time.monotonic() - began, 3)}
        if work.stop.is_set() and reason:
            return _interrupted(work, "interrupted at its gates")
        return Ended(work.stack, work.step, ok=not reason, reason=reason, cause=why, details=details)

    def _asking(self, work: _Work, words: str, update: Mapping[str, object]) -> Callable[[Gate], GateAsked]:
        """What a gate is asked about; that it is asked is told in `words`."""

        def asked(rule: Gate) -> GateAsked:
            self._happened.put(Said(work.stack, words.format(rule.name)))
            file = self.pulumi.stack_file(work.stack)
            return GateAsked(work.stack, self.pulumi.project, file, rule.timeout_s, update, work.stop)

        return asked

    def _soak(self, work: _Work) -> Ended:
        seconds = self.soaks(work.stack)
        self._happened.put(Said(work.stack, f"soaks for {seconds:g} s"))
        if work.stop.wait(seconds):
            return _interrupted(work, "interrupted in its soak")
        return Ended(work.stack, work.step, ok=True, details={"seconds": seconds})


def _details(told: Told, seconds: float) -> Mapping[str, object]:
    changes = [{"op": change.op, "type": change.type, "name": change.name} for change in told.changes]
    unproven = {"unproven": list(told.unproven)} if told.unproven else {}
    return {"seconds": round(seconds, 3), "changes": changes, "resources": dict(told.result), **unproven}


def _failed(work: _Work, reason: str, why: str) -> Ended:
    return Ended(work.stack, work.step, ok=False, reason=reason, cause=why)


def _interrupted(work: _Work, why: str) -> Ended:
    return Ended(work.stack, work.step, ok=False, reason="interrupted", cause=why)
