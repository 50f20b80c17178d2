"""Looks at one stack through the engine's preview; as the planner's inspector, so that hashes agree."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from talos_gpu.errors import TalosGpuError
from talos_gpu.preview import judge
from talos_gpu.preview.engine import Engine
from talos_gpu.preview.events import Said, said_by
from talos_gpu.preview.model import ConfigDiff, Reboot, SpecDiff, StackPreview
from talos_gpu.rollout.errors import PulumiFailed
from talos_gpu.rollout.plan import Change, StackPlan
from talos_gpu.rollout.reboots import reboot_of
from talos_gpu.rollout.told import cause, events_in, told_by
from talos_gpu.rollout.versions import file_digest, state_digest
from talos_gpu.settings import Settings
from talos_gpu.settings.stack_file import stack_settings
from talos_gpu.talos.releases import Method, strategy_for

_NOT_PREVIEWED = "not previewed"


@dataclass(slots=True)
class Inspect:
    """Previews stacks; called from several threads. What it found is in `found` by stack."""

    engine: Engine
    found: dict[str, StackPreview] = field(default_factory=dict)

    def __call__(self, stack: str, cluster: str) -> StackPlan:
        """As `talos_gpu.rollout.planner.Inspector`."""
        pulumi = self.engine.pulumi
        settings, faults = _settings(pulumi.stack_file(stack))
        told, said, deployment = list[Change](), Said(), dict[str, Any]()
        with ThreadPoolExecutor(1) as beside:
            exported = beside.submit(pulumi.state, stack)
            try:
                if settings is not None and not faults:
                    told, said = self._preview(stack)
                deployment = dict(exported.result())
            except TalosGpuError as error:
                faults.append(error.message)
        shown = _unpreviewed(stack, faults)
        if settings is not None and not faults:
            try:
                shown = judge.shown(pulumi, stack, settings, said, deployment)
            except (TalosGpuError, OSError) as error:
                shown = _unpreviewed(stack, [getattr(error, "message", str(error))])
        self.found[stack] = shown
        return StackPlan(
            name=stack,
            cluster=cluster,
            config=file_digest(pulumi.stack_file(stack)),
            state=state_digest(deployment) if deployment else "",
            release=settings.node.release if settings else "",
            reboot=reboot_of(told, settings),
            changes=tuple(told),
            faults=tuple(faults),
        )

    def _preview(self, stack: str) -> tuple[list[Change], Said]:
        code = self.engine.wait(stack)
        events = list(events_in(self.engine.events(stack)))
        told, said = told_by(events), said_by(events)
        if code and not any(found.level == "mandatory" for found in said.policy):
            raise PulumiFailed(f"preview --stack {stack}", cause(told, self.engine.log(stack)))
        return told.changes, said


def _settings(path: Path) -> tuple[Settings | None, list[str]]:
    """The settings in a stack file, None if they cannot be read, and every fault that is seen without the node."""
    try:
        settings = stack_settings(path)
        release = strategy_for(settings.node.talos, treat_as=settings.node.treat_as)
        release.require(Method(settings.cdi.method))
    except TalosGpuError as error:
        return None, [error.message]
    return settings, []


def _unpreviewed(stack: str, faults: Sequence[str]) -> StackPreview:
    return StackPreview(
        name=stack,
        faults=tuple(faults),
        reboot=Reboot(verdict="unknown", reasons=(_NOT_PREVIEWED,)),
        spec=SpecDiff(known="unknown", note=_NOT_PREVIEWED),
        machine_config=ConfigDiff(known="unknown", note=_NOT_PREVIEWED),
    )
