"""What an engine's words mean for a reviewer: reboot, restarts, differences, drift."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from talos_gpu.kube.worker import restart_reasons
from talos_gpu.preview import machine, spec
from talos_gpu.preview.events import UNKNOWN, Said, Step
from talos_gpu.preview.model import ConfigDiff, Drift, Reboot, StackPreview
from talos_gpu.rollout.pulumi_cli import Pulumi
from talos_gpu.settings import Settings
from talos_gpu.talos.reboot import restart_due

_DEPLOYMENT = "kubernetes:apps/v1:Deployment"


def shown(pulumi: Pulumi, stack: str, settings: Settings, said: Said, deployment: Mapping[str, Any]) -> StackPreview:
    """The preview of a stack. `deployment` is its state, secrets encrypted.

    Raises TalosGpuError or OSError where the state's secrets or the base machine config cannot be read.
    """
    config, reboot = ConfigDiff(known="same"), Reboot(verdict="no")
    if said.step("ConfigurationApply") is not None:
        base, new = machine.rendered(settings, pulumi.project)
        old = machine.applied(pulumi.state(stack, show_secrets=True)) if machine.has_applied(deployment) else None
        config, reboot = machine.compared(old, base, new), machine.reboot(settings, old, base, new)
    elif any(map(_restart_left, said.steps)):
        reboot = machine.left_over(settings)
    return StackPreview(
        name=stack,
        changes=tuple(step.change for step in said.steps),
        reboot=reboot,
        restarts=tuple(restarted(said.steps, reboot, deployment)),
        restart_reasons=worker_reasons(said.step("WorkerRestart")),
        spec=spec.compared(said, settings),
        machine_config=config,
        drift=tuple(map(drift_of, said.refreshed)),
        policy=tuple(said.policy),
        warnings=tuple(dict.fromkeys(said.warnings)),
    )


def _restart_left(step: Step) -> bool:
    """Whether MachineReady or MachineRestarted makes a restart that an update before has left."""
    if step.kind not in {"MachineReady", "MachineRestarted"} or step.op == "delete":
        return False
    return restart_due(step.old.get("inputs") or {}, step.new.get("inputs") or {})


def restarted(steps: Sequence[Step], reboot: Reboot, deployment: Mapping[str, Any]) -> list[str]:
    """The Deployments whose pods start anew; what the installer's DaemonSet does is no workload's.

    Where the node restarts, or may, these are all that `deployment`, the state, has on it.
    """
    found = []
    for step in steps:
        template = any(path.startswith(("spec.template", "spec.selector")) for path in step.paths)
        if step.kind == "Deployment" and step.op != "create" and (step.op != "update" or template):
            name = _object((step.old or step.new).get("inputs") or {}, step.name)
            found.append(name if step.op != "delete" else f"{name} (ends)")
    if reboot.verdict not in {"yes", "possible"}:
        return found
    there = [
        _object(resource.get("inputs") or {}, str(resource.get("urn", "")).rpartition("::")[2])
        for resource in deployment.get("resources") or ()
        if resource.get("type") == _DEPLOYMENT and not resource.get("delete")
    ]
    return [*found, *(f"{name} (with the node)" for name in there if not {name, f"{name} (ends)"} & {*found})]


def _object(inputs: Mapping[str, Any], otherwise: str) -> str:
    """NAMESPACE/NAME of an object."""
    metadata = inputs.get("metadata") or {}
    return f"{metadata.get('namespace', 'default')}/{metadata.get('name', otherwise)}"


def worker_reasons(step: Step | None) -> tuple[str, ...]:
    """Why the worker starts anew; `step` is what is done to the resource that waits for its encodes."""
    if step is None or step.op != "update":
        return ()
    new = {key: value for key, value in (step.new.get("inputs") or {}).items() if value != UNKNOWN}
    return restart_reasons(step.old.get("inputs") or {}, new)


def drift_of(step: Step) -> Drift:
    """What a refresh found of one resource: in its provider's sentences where it has any, else by path."""
    old, new = step.old.get("outputs") or {}, step.new.get("outputs") or {}
    said = new.get("drift")
    lines = [line for part in said.values() for line in part] if isinstance(said, dict) else said
    sentences = list(dict.fromkeys(map(str, lines))) if isinstance(lines, list) else []
    if not sentences:
        paths = step.paths or sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))
        sentences = ["it is gone"] if not new else [f"{path} differs" for path in paths]
    return Drift(type=step.type, name=step.name, found=tuple(sentences))
