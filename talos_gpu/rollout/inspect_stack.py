"""Looks at one stack before a rollout: its settings, its node, its state, and what an update would do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from talos_gpu.errors import TalosGpuError
from talos_gpu.rollout.model import CheckName
from talos_gpu.rollout.plan import Change, Reboot, StackPlan
from talos_gpu.rollout.preflight import preflight
from talos_gpu.rollout.pulumi_cli import Pulumi
from talos_gpu.rollout.versions import file_digest, state_digest
from talos_gpu.settings import Settings

_APPLY = "talos:machine/configurationApply:ConfigurationApply"


@dataclass(frozen=True, slots=True)
class InspectStack:
    """The planner's inspector, on the real engine."""

    pulumi: Pulumi
    folder: Path
    """For the previews' logs."""
    checks: Sequence[CheckName]
    refresh: bool

    def __call__(self, stack: str, cluster: str) -> StackPlan:
        """As `talos_gpu.rollout.planner.Inspector`."""
        path = self.pulumi.stack_file(stack)
        settings, faults = preflight(path, self.checks)
        config, state = file_digest(path), ""
        changes: tuple[Change, ...] = ()
        try:
            state = state_digest(self.pulumi.state(stack))
            if not faults:
                changes = tuple(self.pulumi.preview(stack, self.folder, refresh=self.refresh).changes)
        except TalosGpuError as error:
            faults.append(error.message)
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


def reboot_of(changes: Sequence[Change], settings: Settings | None) -> Reboot:
    """Whether an update may restart the node. A preview never asks the node, so it is never known for certain."""
    if not any(change.type == _APPLY for change in changes):
        return "no"
    if settings is None:
        return "unknown"
    if settings.machine.reboot == "forbid":
        return "forbidden"
    return "possible" if settings.machine.apply_mode == "auto" else "no"
