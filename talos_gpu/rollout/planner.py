"""Plans a whole fleet before anything is touched: every stack validated, looked at and previewed."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from talos_gpu.rollout import gates
from talos_gpu.rollout.errors import RolloutInvalid
from talos_gpu.rollout.model import RolloutFile
from talos_gpu.rollout.plan import Plan, StackPlan
from talos_gpu.rollout.versions import Source, each
from talos_gpu.rollout.waves import clusters_of, divide, select
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
    said: Callable[[StackPlan], None] = lambda _: None,
    now: Callable[[], float] = time.time,
) -> Plan:
    """The plan of a rollout of `file`, which was read from `origin` and has the digest `rollout`.

    `known`: all stacks that there are; `said` is told of each stack when it is planned.
    Raises RolloutInvalid if the file's selectors, waves, clusters or gates do not fit the stacks.
    """
    chosen, faults = select(file, known)
    clusters, more = clusters_of(file, chosen)
    waves, others = divide(file, chosen)
    faults += more + others + _gate_faults(file)
    if faults:
        raise RolloutInvalid(str(origin), faults)

    def one(name: str) -> StackPlan:
        found = inspect(name, clusters[name])
        said(found)
        return found

    return Plan(
        fleet=file.fleet,
        made_at=now(),
        commit=source.commit,
        source=source.digest,
        clean=source.clean,
        rollout=rollout,
        waves=tuple(waves),
        stacks=dict(each(one, chosen, file.plan_parallel)),
        max_unavailable=file.max_unavailable,
        max_failures=file.max_failures,
        lock_wait_s=file.lock_wait_s,
        windows=file.windows,
        gates=gates.built_in() if file.gates is None else file.gates,
        rollback=file.rollback,
        refresh=file.refresh,
        stack_files=file.stack_files,
        holds=file.holds,
        warnings=tuple(_warnings(file, source)),
    )


def _gate_faults(file: RolloutFile) -> list[Fault]:
    return [
        Fault(f"gates[{index}].name", repr(gate.name), "is no built-in gate", did_you_mean(gate.name, gates.BUILT_IN))
        for index, gate in enumerate(file.gates or ())
        if gate.command is None and gate.name not in gates.BUILT_IN
    ]


def _warnings(file: RolloutFile, source: Source) -> list[str]:
    found = []
    if not source.clean:
        found.append("the project has uncommitted changes: what is rolled out is in no commit")
    if not (gates.BUILT_IN if file.gates is None else file.gates):
        found.append("there are no gates: a stack counts as done as soon as its update succeeded")
    return found
