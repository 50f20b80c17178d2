"""Looks at one stack through the engine's preview; as the planner's inspector, so that hashes agree."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from talos_gpu.errors import TalosGpuError
from talos_gpu.preview.events import Said, read
from talos_gpu.preview.model import ConfigDiff, Reboot, SpecDiff, StackPreview
from talos_gpu.rollout.errors import PulumiFailed
from talos_gpu.rollout.plan import Change, StackPlan
from talos_gpu.rollout.pulumi_cli import Pulumi, cause, read_events
from talos_gpu.rollout.versions import file_digest, state_digest
from talos_gpu.settings import Settings
from talos_gpu.settings.stack_file import stack_settings
from talos_gpu.talos.releases import Method, strategy_for

_NOT_PREVIEWED = "not previewed"
_JUDGE = "talos_gpu.preview.judge"
"""Imported while the engine works: it needs half of this package."""


@dataclass(slots=True)
class Inspect:
    """Previews stacks; called from several threads. What it found is in `found` by stack."""

    pulumi: Pulumi
    folder: Path
    """For the engine's events, which hold what the program was given: made for this run alone, and removed."""
    refresh: bool
    policy_pack: Path | None
    found: dict[str, StackPreview] = field(default_factory=dict)

    def __call__(self, stack: str, cluster: str) -> StackPlan:
        """As `talos_gpu.rollout.planner.Inspector`."""
        settings, faults = _settings(self.pulumi.stack_file(stack))
        told, said, deployment = list[Change](), Said(), dict[str, Any]()
        with ThreadPoolExecutor(2) as beside:
            exported, imported = beside.submit(self.pulumi.state, stack), beside.submit(import_module, _JUDGE)
            try:
                if settings is not None and not faults:
                    told, said = self._preview(stack)
                deployment = dict(exported.result())
            except TalosGpuError as error:
                faults.append(error.message)
        judge, shown = imported.result(), _unpreviewed(stack, faults)
        if settings is not None and not faults:
            try:
                shown = judge.shown(self.pulumi, stack, settings, said, deployment)
            except (TalosGpuError, OSError) as error:
                shown = _unpreviewed(stack, [getattr(error, "message", str(error))])
        self.found[stack] = shown
        return StackPlan(
            name=stack,
            cluster=cluster,
            config=file_digest(self.pulumi.stack_file(stack)),
            state=state_digest(deployment) if deployment else "",
            release=settings.node.release if settings else "",
            reboot=judge.reboot_of(told, settings),
            changes=tuple(told),
            faults=tuple(faults),
        )

    def _preview(self, stack: str) -> tuple[list[Change], Said]:
        events, log = self.folder / f"{stack}.events", self.folder / f"{stack}.log"
        flags = ["--refresh"] if self.refresh else []
        flags += ["--policy-pack", str(self.policy_pack)] if self.policy_pack else []
        code = self.pulumi.wait(self.pulumi.start(self.pulumi.words("preview", stack, events, *flags), log))
        told, said = read_events(events), read(events)
        if code and not any(found.level == "mandatory" for found in said.policy):
            raise PulumiFailed(f"preview --stack {stack}", cause(told, log))
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
