"""`fleet`: several nodes in one cluster, a stack each, and a rollout.yaml over them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from lab import kubectl
from lab.errors import LabRefused, StepFailed
from lab.lab import Lab
from lab.paths import PROJECT
from lab.stack import Stack
from lab.up import Say, prepare_machine, step_of

GATE_S = 120
"""Seconds that a built-in gate may take: the lab's nodes are quick."""


def rollout_file(lab: Lab) -> Path:
    """Where the fleet's rollout.yaml lies."""
    return lab.paths.root / "rollout.yaml"


def environment(lab: Lab) -> dict[str, str]:
    """What `talos-gpu rollout` runs with, so that it finds the lab's engine, state and rollouts."""
    return {**Stack(lab, lab.node()).environment(), "TALOS_GPU_ROLLOUT_STATE": str(lab.paths.root / "rollouts")}


def exports(lab: Lab) -> dict[str, str]:
    """Of that environment what differs from a shell's own."""
    return {key: value for key, value in environment(lab).items() if key in _OURS}


_OURS = (
    "PATH",
    "PULUMI_HOME",
    "PULUMI_BACKEND_URL",
    "PULUMI_CONFIG_PASSPHRASE_FILE",
    "PULUMI_SKIP_UPDATE_CHECK",
    "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION",
    "PULUMI_DEBUG_COMMANDS",
    "PULUMI_DIY_BACKEND_DISABLE_CHECKPOINT_BACKUPS",
    "TALOS_GPU_ROLLOUT_STATE",
)


def command(lab: Lab) -> str:
    """How a rollout of the fleet is called, to the letter."""
    return f"talos-gpu rollout --file {rollout_file(lab)} --project {PROJECT}"


def write_rollout(lab: Lab, settings: Mapping[str, Any] | None = None) -> Path:
    """Write rollout.yaml: the nodes in their order, one after the other, through every built-in gate."""
    from talos_gpu.rollout.gates import BUILT_IN  # noqa: PLC0415 - the lab itself needs no rollout

    stacks = [Stack(lab, node).name for node in lab.nodes]
    document = {
        "fleet": lab.paths.name,
        "stacks": [{"name": stack} for stack in stacks],
        "clusters": {"lab": stacks},
        "max_unavailable": 1,
        "preflight": ["settings", "release", "credentials", "reachable"],  # the lab's images are in no registry
        "gates": [{"name": name, "timeout_s": GATE_S} for name in BUILT_IN],
        "rollback": "never",  # the stacks' files are in no commit
        "stack_files": str(lab.paths.root),
        **(settings or {}),
    }
    path = rollout_file(lab)
    fresh = path.with_suffix(".new")
    fresh.write_text(yaml.safe_dump(document, sort_keys=False))
    fresh.rename(path)
    return path


def start(lab: Lab, nodes: int, say: Say) -> list[Stack]:
    """Start the lab with so many nodes; returns their stacks, made and not updated. Raises LabRefused."""
    names = [f"lab-{index}" for index in range(1, nodes + 1)]
    record = lab.record
    if record is not None and list(record.nodes) != names:
        have = f"the nodes {', '.join(record.nodes)}"
        raise LabRefused(
            f"lab {lab.paths.name!r} has {have}", remedy=f"another --name, or lab down --name {lab.paths.name}"
        )
    lab.make(names)
    lab.start(say)
    kubectl.wait_node_ready(lab, names)
    stacks = [Stack(lab, node) for node in lab.nodes]
    for stack in stacks:
        stack.init()
    return stacks


def update(stacks: Sequence[Stack], say: Say) -> None:
    """`pulumi up` of each stack, the first one first: it makes what they share. Raises StepFailed."""
    for stack in stacks:
        with step_of(f"pulumi up -s {stack.name}", say):
            done = stack.operation("up", "--skip-preview", check=False)
            if done.returncode:
                raise StepFailed(
                    f"`pulumi up -s {stack.name}` ended with {done.returncode}:\n{done.stdout}{done.stderr}"
                )


def bring_up(name: str, nodes: int, say: Say) -> Lab:
    """Bring up a fleet, each node encoding, with its rollout.yaml; run again it changes nothing. Raises LabError."""
    lab = Lab(name, prepare_machine(say))
    with lab.locked():
        with step_of(f"lab: network, control plane, {nodes} nodes", say):
            stacks = start(lab, nodes, say)
        update(stacks, say)
        write_rollout(lab)
    return lab
