"""What a rollout would do, as data: made once, shown, hashed, approved, and then carried out and nothing else."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from talos_gpu.rollout.errors import COMMAND, NotPlanned
from talos_gpu.rollout.globs import Globs
from talos_gpu.rollout.model import Gate, Window
from talos_gpu.settings.base import Strict

VERSION = 1
Reboot = Literal["no", "possible", "forbidden", "unknown"]


class Wave(Strict):
    """Stacks that may be in work together, and how."""

    name: str
    stacks: tuple[str, ...]
    max_parallel: int
    soak_s: int


@dataclass(frozen=True, slots=True)
class Change:
    """What a preview would do to one resource. Values are left out: they may be secret.

    No model: a large fleet has hundreds of thousands of them.
    """

    op: str
    """As the engine names it: create, update, replace, delete."""
    type: str
    name: str
    properties: tuple[str, ...] = ()
    """Paths of the properties that differ."""


class StackPlan(Strict):
    """What is known of one stack, and what its update would do."""

    name: str
    cluster: str
    config: str
    """SHA-256 of its stack file, hex."""
    state: str
    """SHA-256 of its resources, hex; see `talos_gpu.rollout.versions`."""
    release: str = ""
    """Talos release in its settings."""
    reboot: Reboot = "unknown"
    changes: tuple[Change, ...] = ()
    faults: tuple[str, ...] = ()
    """Why it cannot be rolled out: settings, preflight, preview."""

    @property
    def replacements(self) -> tuple[Change, ...]:
        """The resources that would be replaced."""
        return tuple(change for change in self.changes if "replace" in change.op)

    @property
    def cdi(self) -> tuple[Change, ...]:
        """The changes to what brings the CDI spec to the node."""
        return tuple(change for change in self.changes if "/cdi:" in change.type or "cdi" in change.name.lower())


class Plan(Strict):
    """A whole rollout."""

    version: int = VERSION
    fleet: str
    made_at: float
    """Seconds since the epoch; not part of the hash."""
    commit: str
    """The project's commit, hex; not part of the hash: `source` tells what is in it, whichever commit that is."""
    source: str
    """SHA-256 of the project's files as they are, hex: uncommitted changes move it."""
    clean: bool
    """Whether the files are those of the commit."""
    rollout: str
    """SHA-256 of rollout.yaml, hex."""
    waves: tuple[Wave, ...]
    stacks: dict[str, StackPlan]
    max_unavailable: int
    max_failures: int
    lock_wait_s: int
    windows: tuple[Window, ...]
    gates: tuple[Gate, ...]
    rollback: Literal["when-safe", "never"]
    refresh: bool
    stack_files: str
    """Folder of the stack files, from the project's folder."""
    holds: tuple[str, ...] = ()
    warnings: tuple[str, ...] = Field(default=())

    @cached_property
    def hash(self) -> str:
        """SHA-256 over everything but the moment and the commit it was made at, hex. An approval binds to it."""
        head = self.model_dump(mode="json", exclude={"made_at", "commit", "stacks"})
        stacks = {name: digest(stack.model_dump(mode="json")) for name, stack in self.stacks.items()}
        return digest([head, stacks])

    def slim(self) -> Plan:
        """The same plan, hash and all, without what each update would change: what carrying it out needs."""
        stacks = {name: stack.model_copy(update={"changes": ()}) for name, stack in self.stacks.items()}
        found = self.model_copy(update={"stacks": stacks})
        found.__dict__["hash"] = self.hash
        return found

    @property
    def faults(self) -> list[str]:
        """Every reason why this plan cannot be run, a line each; of what is on hold nothing is run."""
        held = Globs(self.holds)
        run = (stack for stack in self.stacks.values() if stack.faults and stack.name not in held)
        return [f"{stack.name}: {fault}" for stack in run for fault in stack.faults]

    def differences(self, now: Versions) -> list[str]:
        """What has moved between the plan and `now`, a line each; states that `now` leaves out are not compared."""
        found = self.moved_source(now.commit, now.source, now.rollout)
        for name in self.stacks:
            found += self.moved_stack(name, now.configs.get(name, ""), now.states.get(name))
        return found

    def moved_source(self, commit: str, source: str, rollout: str) -> list[str]:
        """What has moved of the project, a line each; a commit that changed no file of it has moved nothing."""
        found = []
        if source != self.source:
            commits = f"commit: {self.commit[:12]} was planned, {commit[:12]} is there"
            found.append(commits if commit != self.commit else "files of the project changed without a commit")
        if rollout != self.rollout:
            found.append("rollout.yaml changed")
        return found

    def moved_stack(self, name: str, config: str, state: str | None) -> list[str]:
        """What has moved of a stack, a line each; a state of None is not compared."""
        found = []
        if config != self.stacks[name].config:
            found.append(f"config of {name} changed")
        if state is not None and state != self.stacks[name].state:
            found.append(f"state of {name} changed: somebody updated it")
        return found


class Versions(Strict):
    """What an approval is bound to, as it is at one moment. Digests are SHA-256, hex."""

    commit: str
    source: str
    rollout: str
    configs: dict[str, str]
    states: dict[str, str]


class Approval(Strict):
    """Somebody's yes to one plan."""

    plan: str
    """The plan's hash."""
    by: str
    at: float


def digest(document: object) -> str:
    """SHA-256 of a JSON document in its canonical form, hex."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def load_plan(path: Path, command: str = COMMAND) -> Plan:
    """The plan in a file; `command` is how a rollout is called.

    Raises NotPlanned if there is none or it cannot be read by this version.
    """
    try:
        return Plan.model_validate_json(path.read_bytes(), strict=True)
    except FileNotFoundError:
        raise NotPlanned("there is no plan", command=command) from None
    except (OSError, ValidationError) as error:
        first = str(error).splitlines()[0]
        raise NotPlanned(f"the plan {path} cannot be read: {first}", command=command) from None


def waves_of(plan: Plan) -> Mapping[str, int]:
    """The index of each stack's wave."""
    return {name: index for index, wave in enumerate(plan.waves) for name in wave.stacks}


def names(plan: Plan) -> Sequence[str]:
    """The stacks in the order of their updates."""
    return [name for wave in plan.waves for name in wave.stacks]
