"""Looks at one stack through the engine's preview; as the planner's inspector, so that hashes agree."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from talos_gpu.errors import TalosGpuError
from talos_gpu.preview import machine, spec
from talos_gpu.preview.events import Said, Step, read
from talos_gpu.preview.model import ConfigDiff, Drift, Reboot, SpecDiff, StackPreview
from talos_gpu.rollout.errors import PulumiFailed
from talos_gpu.rollout.inspect_stack import reboot_of
from talos_gpu.rollout.plan import Change, StackPlan
from talos_gpu.rollout.pulumi_cli import Pulumi, cause, last_words, read_events
from talos_gpu.rollout.versions import file_digest, state_digest
from talos_gpu.settings import Settings
from talos_gpu.settings.stack_file import stack_settings
from talos_gpu.talos.releases import Method, strategy_for

_NOT_PREVIEWED = "not previewed"


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
        with ThreadPoolExecutor(1) as beside:
            exported = beside.submit(self.pulumi.state, stack)
            try:
                if settings is not None and not faults:
                    told, said = self._preview(stack)
                deployment = dict(exported.result())
            except TalosGpuError as error:
                faults.append(error.message)
        shown = _unpreviewed(stack, faults)
        if settings is not None and not faults:
            try:
                shown = self._shown(stack, settings, said, deployment)
            except (TalosGpuError, OSError) as error:
                shown = _unpreviewed(stack, [getattr(error, "message", str(error))])
        self.found[stack] = shown
        return StackPlan(
            name=stack,
            cluster=cluster,
            config=file_digest(self.pulumi.stack_file(stack)),
            state=state_digest(deployment) if deployment else "",
            release=settings.node.release if settings else "",
            reboot=reboot_of(told, settings),
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

    def _shown(self, stack: str, settings: Settings, said: Said, deployment: Mapping[str, Any]) -> StackPreview:
        config, reboot = ConfigDiff(known="same"), Reboot(verdict="no")
        if said.step("ConfigurationApply") is not None:
            base, new = machine.rendered(settings, self.pulumi.project)
            old = machine.applied(self._revealed(stack)) if machine.has_applied(deployment) else None
            config, reboot = machine.compared(old, base, new), machine.reboot(settings, old, base, new)
        return StackPreview(
            name=stack,
            changes=tuple(step.change for step in said.steps),
            reboot=reboot,
            restarts=tuple(_restarts(said.steps)),
            spec=spec.compared(said, settings),
            machine_config=config,
            drift=tuple(map(_drift, said.refreshed)),
            policy=tuple(said.policy),
            warnings=tuple(dict.fromkeys(said.warnings)),
        )

    def _revealed(self, stack: str) -> Mapping[str, Any]:
        """The state with its secrets in clear; it stays in this process's memory."""
        words = [self.pulumi.program, "stack", "export", "--show-secrets", "--stack", stack, "--non-interactive"]
        done = subprocess.run(
            words,
            cwd=self.pulumi.project,
            env=self.pulumi.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise PulumiFailed(f"stack export --show-secrets --stack {stack}", last_words(done.stderr))
        deployment: Mapping[str, Any] = json.loads(done.stdout).get("deployment") or {}
        return deployment


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


def _restarts(steps: Sequence[Step]) -> list[str]:
    """The Deployments whose pods start anew; what the installer's DaemonSet does is no workload's."""
    found = []
    for step in steps:
        template = any(path.startswith(("spec.template", "spec.selector")) for path in step.paths)
        if step.kind == "Deployment" and step.op != "create" and (step.op != "update" or template):
            metadata = ((step.old or step.new).get("inputs") or {}).get("metadata") or {}
            name = f"{metadata.get('namespace', 'default')}/{metadata.get('name', step.name)}"
            found.append(name if step.op != "delete" else f"{name} (ends)")
    return found


def _drift(step: Step) -> Drift:
    old, new = step.old.get("outputs") or {}, step.new.get("outputs") or {}
    said = new.get("drift")
    sentences = [str(item) for item in said] if isinstance(said, list) else []
    if step.kind == "Spec":
        sentences += spec.drift(old, new)
    if not sentences:
        paths = step.paths or sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))
        sentences = ["it is gone"] if not new else [f"{path} differs" for path in paths]
    return Drift(type=step.type, name=step.name, found=tuple(sentences))
