"""`fleet`: several nodes in one cluster or more, a stack each, and a rollout.yaml over them.

The first cluster is the lab of the fleet's name and keeps what all of them share: the stacks' files, engine, state and
rollouts. Each further one is a lab of its own: another network, control plane and PKI.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import yaml

from lab import kubectl
from lab.errors import LabRefused, StepFailed
from lab.lab import Lab
from lab.memory import mib
from lab.paths import PROJECT
from lab.stack import Stack
from lab.up import Say, prepare_machine, step_of

GATE_S = 300
"""Seconds that a built-in gate may take: the lab's nodes are quick, the machine may be busy."""


_MORE = "clusters.json"
"""Names of the labs that are the fleet's further clusters."""
_LETTERS = "bcdefgh"
"""What further clusters and their nodes are called by."""
_AT_ONCE = 2
"""Updates at the same time: on two cores more make nothing quicker."""


def clusters(lab: Lab) -> list[Lab]:
    """The labs that are the fleet's clusters, `lab` itself first."""
    path = lab.paths.root / _MORE
    names = json.loads(path.read_text()) if path.exists() else []
    return [lab, *(Lab(name, lab.binaries) for name in names)]


def stacks(lab: Lab, overrides: Mapping[str, Any] | None = None) -> list[Stack]:
    """The stacks of all nodes, cluster by cluster."""
    return [Stack(cluster, node, overrides, lab.paths) for cluster in clusters(lab) for node in cluster.nodes]


def down(lab: Lab) -> list[str]:
    """End and delete everything of it, every cluster; returns what was ended, one line each."""
    ended = [line for cluster in reversed(clusters(lab)[1:]) for line in cluster.down()]
    return [*ended, *lab.down()]


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

    members: dict[str, list[str]] = {}
    for stack in stacks(lab):
        members.setdefault(stack.lab.paths.name, []).append(stack.name)
    document = {
        "fleet": lab.paths.name,
        "stacks": [{"name": name} for names in members.values() for name in names],
        "clusters": members,
        "max_unavailable": 1,
        "preflight": ["settings", "release", "credentials", "reachable"],  # the lab's images are in no registry
        "gates": [{"name": name, "timeout_s": GATE_S} for name in BUILT_IN],
        "rollback": "never",  # the stacks' files are in no commit
        "stack_files": str(lab.paths.root),
        **(settings or {}),
    }
    path = rollout_file(lab)
    fresh = path.with_suffix(".new")
    head = f"# yaml-language-server: $schema={PROJECT / 'schemas/rollout.json'}\n"
    fresh.write_text(head + yaml.safe_dump(document, sort_keys=False))
    fresh.rename(path)
    return path


def start(lab: Lab, nodes: Sequence[int], say: Say, overrides: Mapping[str, Any] | None = None) -> list[Stack]:
    """Start a cluster for each number in `nodes`, of so many nodes; returns their stacks, made and not updated.

    `overrides`: settings of all of them by top-level key, laid over the template's.
    Raises LabRefused where a lab of a name that it needs has other nodes.
    """
    further = [f"{lab.paths.name}-{letter}" for letter in _LETTERS[: len(nodes) - 1]]
    if len(further) < len(nodes) - 1:
        raise LabRefused(f"{len(nodes)} clusters are more than {len(_LETTERS) + 1}", remedy="name fewer --nodes")
    wanted = {lab.paths.name: [f"lab-{index}" for index in range(1, nodes[0] + 1)]}
    for name, count in zip(further, nodes[1:], strict=True):
        wanted[name] = [f"lab-{name[-1]}{index}" for index in range(1, count + 1)]
    labs = [lab, *(Lab(name, lab.binaries) for name in further)]
    for cluster in labs:
        _require_own(cluster, wanted[cluster.paths.name])
    for cluster in labs:
        cluster.make(wanted[cluster.paths.name])
        if cluster is lab:
            (lab.paths.root / _MORE).write_text(json.dumps(further))
    for cluster in labs:
        cluster.start(say)
    for cluster in labs:
        kubectl.wait_node_ready(cluster, wanted[cluster.paths.name])
    made = stacks(lab, overrides)
    for stack in made:
        stack.init()
    return made


def _require_own(lab: Lab, names: Sequence[str]) -> None:
    record = lab.record
    if record is not None and list(record.nodes) != names:
        have = f"the nodes {', '.join(record.nodes)}"
        raise LabRefused(
            f"lab {lab.paths.name!r} has {have}", remedy=f"another --name, or lab down --name {lab.paths.name}"
        )


def update(stacks: Sequence[Stack], say: Say) -> None:
    """`pulumi up` of each stack, two at a time; those that make what a cluster shares go first. Raises StepFailed."""
    first = [stack for stack in stacks if stack.node.name == stack.lab.node().name]
    rest = [stack for stack in stacks if stack not in first]
    for some in (first, rest):
        with (
            step_of(f"pulumi up -s {', '.join(stack.name for stack in some)}", say),
            ThreadPoolExecutor(_AT_ONCE) as at,
        ):
            list(at.map(_up, some))


def _up(stack: Stack) -> None:
    done = stack.operation("up", "--skip-preview", check=False)
    if done.returncode:
        raise StepFailed(f"`pulumi up -s {stack.name}` ended with {done.returncode}:\n{done.stdout}{done.stderr}")


def bring_up(name: str, nodes: Sequence[int], say: Say) -> Lab:
    """Bring up a fleet, each node encoding, with its rollout.yaml; run again it changes nothing. Raises LabError."""
    lab = Lab(name, prepare_machine(say))
    with lab.locked():
        words = ", ".join(f"{count} node{'s' if count > 1 else ''}" for count in nodes)
        with step_of(f"network, control plane, nodes; by cluster: {words}", say):
            made = start(lab, nodes, say)
        update(made, say)
        write_rollout(lab)
    say(f"memory: {mib(clusters(lab)):.0f} MiB, every node and control plane")
    return lab
