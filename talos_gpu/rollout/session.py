"""One process's part of a rollout on the real engine: checks, lock, journal, signals, and what is left behind."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from talos_gpu.rollout import past
from talos_gpu.rollout.drive import Drive, View
from talos_gpu.rollout.errors import ApprovalVoid, NothingToResume, NotPlanned, Unfinished
from talos_gpu.rollout.fleet import Fleet
from talos_gpu.rollout.journal import Journal
from talos_gpu.rollout.plan import Plan, waves_of
from talos_gpu.rollout.processes import Processes
from talos_gpu.rollout.pulumi_cli import Pulumi
from talos_gpu.rollout.records import Final, Kind, Outcome, Record
from talos_gpu.rollout.rollback import Rollback
from talos_gpu.rollout.store import Store
from talos_gpu.rollout.versions import versions
from talos_gpu.rollout.watch import Watch

_STATES_AT_ONCE = 4
_PRESSES = 2


@dataclass(frozen=True, slots=True)
class Session:
    """A fleet's folder, its project and its rollout.yaml."""

    store: Store
    pulumi: Pulumi
    rollout: Path
    views: Sequence[View] = ()

    def run(self) -> Fleet:
        """Carry the approved plan out, to the end or until it stops.

        Raises FleetLocked, NotPlanned, NotApproved, Unfinished, or ApprovalVoid with everything that has moved.
        """
        with self.store.locked("rollout run"):
            plan = self.store.plan()
            if plan.faults:
                raise NotPlanned("the plan has faults", "see `{command} plan`", self.store.command)
            approval = self.store.require_approval(plan)
            if self.store.journal.exists():
                before = self.store.fleet(self.store.running_plan())
                if before.begun and before.outcome is None:
                    raise Unfinished(self.store.command)
                self.store.keep_good(before.plan)  # it may have been killed before it did
            self._require_unmoved(plan, list(plan.stacks), unfinished=False)
            self.store.begin(plan)
            plan = plan.slim()
            details = {"plan": plan.hash, "commit": plan.commit, "approved_by": approval.by, "pid": os.getpid()}
            return self._go(plan, Fleet(plan), Record(Kind.BEGUN, time.time(), details=details), frozenset())

    def resume(self) -> Fleet:
        """Go on where the journal ends; what failed or was held in a rollout that ended gets another turn.

        Raises FleetLocked, NothingToResume, or ApprovalVoid: also the stacks that were not begun must be as planned.
        """
        with self.store.locked("rollout resume"):
            plan = self.store.running_plan().slim()
            fleet = self.store.fleet(plan)
            if not fleet.begun:
                raise NothingToResume("no rollout was begun", self.store.command)
            if fleet.outcome is Outcome.ABORTED:
                raise NothingToResume("the last rollout was aborted", self.store.command)
            if fleet.outcome is not None and set(fleet.counts()) == {Final.DONE}:
                raise NothingToResume("the last rollout is complete", self.store.command)
            begun = frozenset(self._begun(fleet))
            left = [name for name in plan.stacks if name not in begun]
            self._require_unmoved(plan, left, unfinished=fleet.outcome is None)
            details = {"retry": fleet.outcome is not None, "pid": os.getpid()}
            return self._go(plan, fleet, Record(Kind.RESUMED, time.time(), details=details), begun)

    def _begun(self, fleet: Fleet) -> Iterator[str]:
        """Stacks that this rollout has touched; not those that had moved, or were another's, when it came to them."""
        started = {record.stack for record in self.store.records() if record.kind is Kind.STARTED}
        return (name for name in started if fleet.entries[name].reason not in ("moved", "locked"))

    def _require_unmoved(self, plan: Plan, stacks: Sequence[str], *, unfinished: bool) -> None:
        now = versions(self.pulumi, self.rollout, plan.stacks, stacks, parallel=_STATES_AT_ONCE)
        differences = plan.differences(now)
        if differences:
            raise ApprovalVoid(differences, self.store.command, unfinished=unfinished)

    def _go(self, plan: Plan, fleet: Fleet, first: Record, begun: frozenset[str]) -> Fleet:
        waves, good = waves_of(plan), self.store.good()
        back = Rollback(plan, self.pulumi, good, self.store.folder / "worktrees")
        runner = Processes(
            self.pulumi,
            self.store.logs,
            plan.gates,
            soaks=lambda stack: plan.waves[waves[stack]].soak_s,
            lock_wait_s=plan.lock_wait_s,
            refresh=plan.refresh,
            roll_back=back.project,
            moved=Watch(plan, self.pulumi, self.rollout, begun),
            measured=lambda stack: good.get(stack, {}).get("measured", {}),
            begun=begun,
            updates=past.updates(self.store.records()),
        )
        with Journal(self.store.journal) as journal, _asked(runner.ask):
            drive = Drive(fleet, runner, journal.write, self.views, self.store.held(plan), back.may)
            drive.begin(first)
            drive.run()
        back.clear()
        self.store.keep_good(plan)
        return fleet


@contextmanager
def _asked(ask: Callable[[], None]) -> Iterator[None]:
    """Ctrl-C and SIGTERM become questions; after the second one the third ends the process, as ever."""
    presses = 0

    def pressed(number: int, _frame: FrameType | None) -> None:
        nonlocal presses
        presses += 1
        ask()
        if presses >= _PRESSES:
            signal.signal(number, signal.SIG_DFL)

    before = {number: signal.signal(number, pressed) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
