"""The waves of a rollout.yaml as Stack objects of the Pulumi Kubernetes Operator, ordered by their prerequisites.

A Stack waits until each of its prerequisites has succeeded at its present generation, so that a new commit in all of
them runs through in order (pulumi/pulumi-kubernetes-operator v2: the Stack resource's schema in deploy/crds, and its
controller's tests of unsatisfied prerequisites). Within a wave every stack waits for the one `max_parallel` places
before it, and for the one of its own cluster `max_unavailable` places before it; the first of a wave wait for the last
`max_parallel` of the wave before, which themselves have waited for all others.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from talos_gpu.rollout.errors import RolloutInvalid
from talos_gpu.rollout.gates import built_in
from talos_gpu.rollout.globs import Globs
from talos_gpu.rollout.model import RolloutFile
from talos_gpu.rollout.plan import Wave
from talos_gpu.rollout.waves import clusters_of, divide, select, unmatched
from talos_gpu.settings.faults import Fault

_LONGEST = 42
"""Characters of a Stack object's name that the operator can work with: it derives longer names from it."""
_LABELS = "rollout.talos-nvidia-cdi"
_SHOWN = 5
PROVEN_BY_VERIFY = frozenset(("spec-fresh", "encode"))
"""Gates whose question a stack's own `verify: true` answers: all of talos_gpu.verify's proofs, the spec's too."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where the operator finds the program and its state."""

    project: str
    """Name in Pulumi.yaml."""
    repository: str
    """URL of the git repository."""
    commit: str
    """What is rolled out, hex."""
    folder: str = ""
    """Of Pulumi.yaml, in the repository."""
    namespace: str = "default"
    organization: str = ""
    """Before the project and the stack in a stack's full name; `organization` for a backend of one's own."""
    backend: str = ""
    """URL; "" is Pulumi Cloud."""
    service_account: str = ""
    git_secret: str = ""
    """Secret with the repository's access token, key `accessToken`."""
    environment: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """Variable -> name and key of a Secret."""


def stack_objects(file: RolloutFile, origin: str, known: Sequence[str], target: Target) -> list[dict[str, Any]]:
    """One Stack object a stack, in the order of the rollout; stacks that the file holds are left out.

    `known` are the names of all stacks that there are. Raises RolloutInvalid with every reason why it cannot be done.
    """
    chosen, faults = select(file, known)
    clusters, more = clusters_of(file, chosen)
    waves, others = divide(file, chosen)
    faults += more + others + unmatched(file, known) + list(_name_faults(file, chosen))
    if file.stack_files != ".":
        rule = "is not where the operator looks for stack files: beside Pulumi.yaml"
        faults.append(Fault("stack_files", repr(file.stack_files), rule, "keep them there"))
    if faults:
        raise RolloutInvalid(origin, faults)
    held = Globs(file.holds)
    objects: list[dict[str, Any]] = []
    before: Sequence[str] = ()
    for wave in waves:
        members = [name for name in wave.stacks if name not in held]
        waits = list(_waits(members, before, wave.max_parallel, file.max_unavailable, clusters))
        objects += [_object(file, wave, name, after, target) for name, after in zip(members, waits, strict=True)]
        before = members[-wave.max_parallel :] or before
    return objects


def lost(file: RolloutFile, known: Sequence[str], verifying: Collection[str]) -> list[str]:
    """What of a rollout.yaml the operator does not carry out, a sentence each.

    `known`: the names of all stacks; `verifying`: of those the ones whose settings say `verify: true`.
    """
    held = Globs(file.holds)
    stacks = [name for name in select(file, known)[0] if name not in held]
    found = [
        "no preview of the whole fleet, no approval that a moved commit, config or state makes void",
        *_lost_gates(file, stacks, verifying),
        "a stack that failed stops what waits for it; others of its wave go on",
    ]
    told = {
        "soak_s: the next stack follows at once": file.soak_s or any(wave.soak_s for wave in file.waves),
        "windows: a stack starts at any time": file.windows,
        "rollback: the operator tries the same commit again": file.rollback != "never",
        f"max_failures {file.max_failures}: what waits for a failed stack is never started": file.max_failures,
        f"holds: {', '.join(file.holds)} left out, and taken up by the next export without the hold": file.holds,
        "lock_wait_s: a locked stack is tried again for as long as it takes": file.lock_wait_s,
    }
    return [*found, *(sentence for sentence, is_set in told.items() if is_set)]


def _lost_gates(file: RolloutFile, stacks: Sequence[str], verifying: Collection[str]) -> Iterator[str]:
    """What is lost of each gate that is asked: a prerequisite asks whether an update succeeded, and nothing else."""
    rules = built_in() if file.gates is None else file.gates
    asked = [rule.name for rule in rules if rule.command is None]
    if awaited := [name for name in asked if name not in PROVEN_BY_VERIFY]:
        yield (
            f"{', '.join(awaited)}: an update that touches it waits for what they ask, and fails without; "
            "nobody looks at what it leaves alone, or afterwards"
        )
    proven = ", ".join(name for name in asked if name in PROVEN_BY_VERIFY)
    with_proof = [name for name in stacks if name in verifying]
    without = [name for name in stacks if name not in verifying]
    if proven and with_proof:
        often, rarely = (
            "at every update that pod and node answer",
            "by an update that changes what brings the GPU; else not",
        )
        when = often if file.refresh else rarely
        yield (
            f"{proven}: the update of {_names(with_proof)} proves it itself (`verify: true`), {when}; "
            "one that meets a transcode succeeds unproven"
        )
    if proven and without:
        yield f"{proven}: not asked of {_names(without)}, whose settings do not say `verify: true`"
    if commands := [rule.name for rule in rules if rule.command is not None]:
        yield f"{', '.join(commands)}: nobody runs a gate that is a command"


def _names(stacks: Sequence[str]) -> str:
    more = f" and {len(stacks) - _SHOWN} more" if len(stacks) > _SHOWN else ""
    return ", ".join(stacks[:_SHOWN]) + more


def _waits(
    members: Sequence[str], before: Sequence[str], parallel: int, unavailable: int, clusters: Mapping[str, str]
) -> Iterator[Sequence[str]]:
    """What each of a wave's stacks waits for."""
    earlier: dict[str, list[str]] = {}
    for index, name in enumerate(members):
        beside = earlier.setdefault(clusters[name], [])
        after = [members[index - parallel]] if index >= parallel else list(before)
        if len(beside) >= unavailable:
            after.append(beside[-unavailable])
        beside.append(name)
        yield list(dict.fromkeys(after))


def _object(file: RolloutFile, wave: Wave, stack: str, after: Sequence[str], target: Target) -> dict[str, Any]:
    full = f"{target.organization}/{target.project}/{stack}" if target.organization else stack
    token = {"type": "Secret", "secret": {"name": target.git_secret, "key": "accessToken"}}
    environment = {
        variable: {"type": "Secret", "secret": {"name": name, "key": key}}
        for variable, (name, key) in target.environment.items()
    }
    spec = {
        "stack": full,
        "backend": target.backend,
        "projectRepo": target.repository,
        "repoDir": target.folder,
        "commit": target.commit,
        "gitAuth": {"accessToken": token} if target.git_secret else None,
        "envRefs": environment,
        "serviceAccountName": target.service_account,
        "refresh": file.refresh,
        "retryOnUpdateConflict": bool(file.lock_wait_s),
        "prerequisites": [{"name": _name(file, name)} for name in after],
    }
    return {
        "apiVersion": "pulumi.com/v1",
        "kind": "Stack",
        "metadata": {
            "name": _name(file, stack),
            "namespace": target.namespace,
            "labels": {f"{_LABELS}/fleet": file.fleet, f"{_LABELS}/wave": _label(wave.name)},
        },
        "spec": {key: value for key, value in spec.items() if value},
    }


def _name(file: RolloutFile, stack: str) -> str:
    return re.sub(r"[^a-z0-9-]+", "-", f"{file.fleet}-{stack}".lower()).strip("-")


def _label(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-._")[:63]


def _name_faults(file: RolloutFile, stacks: Sequence[str]) -> Iterator[Fault]:
    taken: dict[str, str] = {}
    for stack in stacks:
        name = _name(file, stack)
        if len(name) > _LONGEST:
            yield Fault("fleet", repr(name), f"is longer than {_LONGEST} characters as an object's name", "shorten it")
        if name in taken:
            yield Fault("stacks", repr(stack), f"gives the same object name as {taken[name]!r}: {name}")
        taken[name] = stack
