"""The preview of some stacks: each looked at by the engine, the hash made as a rollout's plan makes it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from talos_gpu.errors import UsageError
from talos_gpu.preview.engine import Engine
from talos_gpu.preview.inspect import Inspect
from talos_gpu.preview.model import Preview
from talos_gpu.rollout import planner
from talos_gpu.rollout.load import load
from talos_gpu.rollout.model import RolloutFile, Selector
from talos_gpu.rollout.versions import file_digest, source_of
from talos_gpu.rollout.waves import select
from talos_gpu.settings.faults import did_you_mean
from talos_gpu.settings.stack_file import stack_files

STAND_IN = "STAND-IN"
"""A file in a plugin's folder: what lies there is the lab's stand-in, not the official plugin."""


def make(engine: Engine, *, rollout: Path, stacks: Sequence[str], parallel: int) -> Preview:
    """Preview `stacks` of a project; none named: those of the rollout file, without one all.

    Raises UsageError if a stack is not known or the project is not under git; what is wrong with one stack is told in
    its own preview.
    """
    pulumi = engine.pulumi
    known = list(stack_files(pulumi.stack_files))
    _require_known(stacks, known)
    file = load(rollout) if rollout.is_file() else None
    chosen = select(file, known)[0] if file else known
    wanted = list(dict.fromkeys(stacks or chosen))
    binding = file is not None and set(wanted) == set(chosen) and engine.refresh == file.refresh
    if file is None or not binding:
        selectors = tuple(Selector(name=name) for name in wanted)
        if not selectors:
            raise UsageError(f"{pulumi.stack_files} has no stack files", remedy="talos-gpu stack new writes one")
        file = RolloutFile(fleet="preview", stacks=selectors, refresh=engine.refresh, plan_parallel=parallel)
    source = source_of(pulumi.project, rollout)
    inspect = Inspect(engine)
    plan = planner.make(
        file.model_copy(update={"plan_parallel": parallel}),
        rollout,
        known,
        source,
        rollout=file_digest(rollout) if binding else "",
        inspect=inspect,
    )
    return Preview(
        project=_name(pulumi.project),
        commit=source.commit,
        clean=source.clean,
        hash=plan.hash,
        hash_of="rollout" if binding else "stacks",
        refreshed=engine.refresh,
        policy_pack=str(engine.policy_pack or ""),
        stand_ins=stand_ins(pulumi.environment),
        stacks=tuple(inspect.found[name] for name in wanted),
    )


def _name(project: Path) -> str:
    path = project / "Pulumi.yaml"
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise UsageError(f"{path} cannot be read: {error}", remedy="name the project with --project") from None
    return str(document.get("name") or "project") if isinstance(document, dict) else "project"


def _require_known(stacks: Sequence[str], known: Sequence[str]) -> None:
    lines = [f"{name}: {did_you_mean(name, known)}" for name in stacks if name not in known]
    if lines:
        raise UsageError("there is no such stack file:\n  " + "\n  ".join(lines), remedy=f"stacks: {', '.join(known)}")


def stand_ins(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Plugins in Pulumi's home that are the lab's stand-ins: `kubernetes v4.34.2`."""
    home = Path(environment.get("PULUMI_HOME") or Path(environment.get("HOME", os.curdir)) / ".pulumi")
    folders = sorted(path.parent.name for path in (home / "plugins").glob(f"*/{STAND_IN}"))
    return tuple(" ".join(folder.removeprefix("resource-").rsplit("-", 1)) for folder in folders)
