"""Plans a whole fleet before anything is touched: every stack validated, looked at and previewed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from talos_gpu.rollout import gates
from talos_gpu.rollout.errors import RolloutInvalid
from talos_gpu.rollout.globs import Globs
from talos_gpu.rollout.model import Gate, RolloutFile
from talos_gpu.rollout.plan import Plan, StackPlan
from talos_gpu.rollout.versions import Source, each
from talos_gpu.rollout.waves import clusters_of, divide, select, unmatched
from talos_gpu.settings.faults import Fault, did_you_mean


class Inspector(Protocol):
    """Looks at one stack; called from several threads."""

    def __call__(self, stack: str, cluster: str) -> StackPlan:
        """What is known of it; whatever is wrong is among its faults, never raised."""
        ...


def make(
    file: RolloutFile,
    origin: Path,
    known: Sequence[str],
    source: Source,
    *,
    rollout: str,
    inspect: Inspector,
    held: Sequence[str] = (),
    said: Callable[[StackPlan], None] = lambda _: None,
    now: Callable[[], float] = time.time,
) -> Plan:
    """The plan of a rollout of `file`, which was read from `origin` and has the digest `rollout`.

    `known`: all stacks that there are; `held`: globs of those on hold beyond the file's; `said` is told of each stack
    when it is planned. A stack on hold blocks nothing: with faults it stays on hold in this rollout.
    Raises RolloutInvalid if the file's selectors, waves, clusters or gates do not fit the stacks.
    """
    chosen, faults = select(file, known)
    clusters, more = clusters_of(file, chosen)
    waves, others = divide(file, chosen)
    faults += more + others + unmatched(file, known) + _gate_faults(file)
    if faults:
        raise RolloutInvalid(str(origin), faults)

    def one(name: str) -> StackPlan:
        found = inspect(name, clusters[name])
        said(found)
        return found

    stacks = dict(each(one, chosen, file.plan_parallel))
    kept = [name for name in stacks if name in Globs(held) and name not in Globs(file.holds) and stacks[name].faults]
    holds = (*file.holds, *kept)
    return Plan(
        fleet=file.fleet,
        made_at=now(),
        commit=source.commit,
        source=source.digest,
        clean=source.clean,
        rollout=rollout,
        waves=tuple(waves),
        stacks=stacks,
        max_unavailable=file.max_unavailable,
        max_failures=file.max_failures,
        lock_wait_s=file.lock_wait_s,
        windows=file.windows,
        gates=gates_of(file),
        rollback=file.rollback,
        refresh=file.refresh,
        stack_files=file.stack_files,
        holds=holds,
        warnings=(*_warnings(file, source), *_of_held(stacks, Globs(holds))),
    )


def gates_of(file: RolloutFile) -> tuple[Gate, ...]:
    """The gates that are asked: without a word about them every built-in one."""
    return gates.built_in() if file.gates is None else file.gates


def _gate_faults(file: RolloutFile) -> list[Fault]:
    return [
        Fault(f"gates[{index}].name", repr(gate.name), "is no built-in gate", did_you_mean(gate.name, gates.BUILT_IN))
        for index, gate in enumerate(file.gates or ())
        if gate.command is None and gate.name not in gates.BUILT_IN
    ]


def _of_held(stacks: Mapping[str, StackPlan], held: Globs) -> Iterator[str]:
    for name, stack in stacks.items():
        if name in held:
            yield from (f"{name} is on hold and has a fault: {' '.join(fault.split())}" for fault in stack.faults)


def _warnings(file: RolloutFile, source: Source) -> list[str]:
    found = []
    if not source.clean:
        found.append("the project has uncommitted changes: what is rolled out is in no commit")
    if not (gates.BUILT_IN if file.gates is None else file.gates):
        found.append("there are no gates: a stack counts as done as soon as its update succeeded")
    return found
