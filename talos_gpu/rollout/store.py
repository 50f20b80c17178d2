"""Where a fleet's rollout keeps its files: plan, approval, journal, logs, holds, last good commits.

Outside the checkout, so that two checkouts of one project share the lock: `$XDG_STATE_HOME/talos-gpu/rollout`, by
default below ~/.local/state. Readable by their owner alone.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from talos_gpu.rollout import journal, lock, past
from talos_gpu.rollout.errors import COMMAND, NotApproved, NotPlanned
from talos_gpu.rollout.fleet import Fleet
from talos_gpu.rollout.globs import Globs
from talos_gpu.rollout.plan import Approval, Plan, load_plan
from talos_gpu.rollout.records import Record


def default_root() -> Path:
    """The folder of all fleets."""
    base = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(base).expanduser() / "talos-gpu" / "rollout"


@dataclass(frozen=True, slots=True)
class Store:
    """One fleet's folder."""

    folder: Path
    command: str = COMMAND
    """How a rollout of it is called, for the commands that errors name."""

    @classmethod
    def of(cls, root: Path, project: str, fleet: str, command: str = COMMAND) -> Store:
        """The folder of a project's fleet, made when missing."""
        folder = root / project / fleet
        (folder / "logs").mkdir(parents=True, exist_ok=True, mode=0o700)
        return cls(folder, command)

    @property
    def journal(self) -> Path:
        """The journal of the current rollout."""
        return self.folder / "journal.jsonl"

    @property
    def logs(self) -> Path:
        """What the Pulumi processes said."""
        return self.folder / "logs"

    @property
    def lock(self) -> Path:
        """The fleet's lock."""
        return self.folder / "lock"

    @contextmanager
    def locked(self, command: str) -> Iterator[None]:
        """Hold the fleet while the block runs. Raises FleetLocked."""
        with lock.held(self.lock, command, self.command):
            yield

    def records(self) -> Iterator[Record]:
        """The journal's records, oldest first. Raises JournalCorrupt."""
        return journal.read(self.journal)

    def fleet(self, plan: Plan) -> Fleet:
        """The state that the journal tells."""
        fleet = Fleet(plan)
        fleet.fold(self.records())
        return fleet

    def save_plan(self, plan: Plan) -> None:
        """Keep a plan; an approval of another one is void."""
        replace(self.folder / "plan.json", plan.model_dump_json())

    def plan(self) -> Plan:
        """The last plan. Raises NotPlanned."""
        return load_plan(self.folder / "plan.json", self.command)

    def running_plan(self) -> Plan:
        """The plan that the journal belongs to. Raises NotPlanned."""
        path = self.folder / "running.json"
        if not path.exists():
            raise NotPlanned("no rollout was begun", "run `{command} plan`, approve it, then `run`", self.command)
        return load_plan(path, self.command)

    def approve(self, plan: Plan, by: str) -> Approval:
        """Keep somebody's yes to a plan. Raises NotPlanned if the plan has faults."""
        if plan.faults:
            shown, remedy = "\n  ".join(plan.faults), "mend them and run `{command} plan` again"
            raise NotPlanned(f"the plan has faults:\n  {shown}", remedy, self.command)
        approval = Approval(plan=plan.hash, by=by, at=time.time())
        replace(self.folder / "approval.json", approval.model_dump_json(indent=1))
        return approval

    def require_approval(self, plan: Plan) -> Approval:
        """The approval of a plan. Raises NotApproved."""
        try:
            approval = Approval.model_validate_json((self.folder / "approval.json").read_bytes(), strict=True)
        except (FileNotFoundError, ValidationError):
            raise NotApproved(plan.hash, self.command) from None
        if approval.plan != plan.hash:
            raise NotApproved(plan.hash, self.command)
        return approval

    def begin(self, plan: Plan) -> None:
        """Make room for a new rollout: the journal of the last one goes to `history`.

        In an order that a kill cannot hurt: the journal never stands without the plan that it belongs to.
        """
        if self.journal.exists():
            ended = self.journal.stat().st_mtime_ns
            stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime(ended / 1e9))
            past = self.folder / "history" / f"{stamp}.{ended % 10**9:09}Z"
            past.mkdir(parents=True, exist_ok=True, mode=0o700)
            replace(past / "plan.json", (self.folder / "running.json").read_text(encoding="utf-8"))
            self.journal.replace(past / "journal.jsonl")
        replace(self.folder / "running.json", plan.model_dump_json())

    def holds(self) -> list[str]:
        """Globs of the stacks that are on hold, beyond those in rollout.yaml."""
        path = self.folder / "holds"
        return path.read_text(encoding="utf-8").splitlines() if path.exists() else []

    def save_holds(self, globs: list[str]) -> None:
        """Put these on hold, and no others."""
        replace(self.folder / "holds", "".join(f"{glob}\n" for glob in globs))

    def held(self, plan: Plan) -> Callable[[str], bool]:
        """Whether a stack is on hold, asked anew each time: a hold can be set while a rollout runs."""
        fixed = Globs(plan.holds)
        return lambda stack: stack in fixed or stack in Globs(self.holds())

    def good(self) -> Mapping[str, Mapping[str, Any]]:
        """Stack -> `commit`, `release` with which it was last done, and what its gates `measured` then."""
        path = self.folder / "good.json"
        found: Mapping[str, Mapping[str, Any]] = json.loads(path.read_bytes()) if path.exists() else {}
        return found

    def keep_good(self, plan: Plan) -> None:
        """Remember the commit of every stack that was done, as the journal of this plan tells."""
        found = {**self.good(), **dict(past.good(plan, self.records()))}
        replace(self.folder / "good.json", json.dumps(found, indent=1, sort_keys=True))


def replace(path: Path, text: str) -> None:
    """Write a file whole or not at all, readable by its owner alone."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
