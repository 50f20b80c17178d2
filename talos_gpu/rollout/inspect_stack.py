"""Looks at one stack before a rollout: its settings, its node, its state, and what an update would do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from talos_gpu.errors import TalosGpuError
from talos_gpu.rollout.gates import NEEDS_WORKER, NO_WORKER
from talos_gpu.rollout.model import CheckName, Gate
from talos_gpu.rollout.plan import Change, StackPlan
from talos_gpu.rollout.preflight import preflight
from talos_gpu.rollout.pulumi_cli import Pulumi
from talos_gpu.rollout.reboots import reboot_of
from talos_gpu.rollout.told import previewed
from talos_gpu.rollout.versions import file_digest, state_digest


@dataclass(frozen=True, slots=True)
class InspectStack:
    """The planner's inspector, on the real engine."""

    pulumi: Pulumi
    folder: Path
    """For the previews' logs."""
    checks: Sequence[CheckName]
    refresh: bool
    gates: Sequence[Gate] = ()
    """What the stack will have to pass."""

    def __call__(self, stack: str, cluster: str) -> StackPlan:
        """As `talos_gpu.rollout.planner.Inspector`."""
        path = self.pulumi.stack_file(stack)
        settings, faults = preflight(path, self.checks)
        config, state = file_digest(path), ""
        changes: tuple[Change, ...] = ()
        try:
            state = state_digest(self.pulumi.state(stack))
            if not faults:
                changes = tuple(previewed(self.pulumi, stack, self.folder, refresh=self.refresh).changes)
        except TalosGpuError as error:
            faults.append(error.message)
        encodes = any(gate.name == NEEDS_WORKER and gate.command is None for gate in self.gates)
        if encodes and settings is not None and settings.tdarr is None:
            faults.append(f"gate {NEEDS_WORKER}: {NO_WORKER.cause}; {NO_WORKER.remedy}")
        return StackPlan(
            name=stack,
            cluster=cluster,
            config=config,
            state=state,
            release=settings.node.release if settings else "",
            reboot=reboot_of(changes, settings),
            changes=changes,
            faults=tuple(faults),
        )
