"""`talos-gpu preview`: what an update of stacks would do, for whoever reviews it."""

from __future__ import annotations

import os
import sys
import tempfile
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from talos_gpu.cli.preview_options import parser
from talos_gpu.errors import UsageError
from talos_gpu.preview.engine import Engine
from talos_gpu.rollout.pulumi_cli import Pulumi

_FINE, _BLOCKED = 0, 1
_PACK, _PACK_CONFIG = "policy", "policy-config.json"
_VARIABLE = "PULUMI_OPTION_POLICY_PACK"
"""The engine's own, for every operation; with _CONFIG behind it, the configuration's."""


def main(words: Sequence[str]) -> int:
    """Run the command with the words behind `preview`; the exit code. Raises TalosGpuError for unusable input."""
    options = parser().parse_intermixed_args(words)
    project = options.project.resolve()
    # chosen here, and named to the engine: by the variable alone it would run a pack that the comment does not know of
    pulumi = Pulumi.find(project, (options.stack_files or project).resolve()).without(_VARIABLE)
    pack = _pack(project, options.policy_pack) if options.policy else None
    config = _pack_config(project, options.policy_pack_config) if pack else None
    with (
        tempfile.TemporaryDirectory(prefix="talos-gpu-preview-") as folder,
        Engine(pulumi, Path(folder), options.refresh, pack, config) as engine,
    ):
        for stack in list(dict.fromkeys(options.stacks))[: options.parallel]:
            if pulumi.stack_file(stack).is_file():
                engine.begin(stack)
        return _show(engine, options)


def _show(engine: Engine, options: Namespace) -> int:
    # what follows is heavy, and the engine is at work meanwhile
    from talos_gpu.preview.make import make  # noqa: PLC0415
    from talos_gpu.preview.markdown import markdown  # noqa: PLC0415

    rollout = (options.file or engine.pulumi.project / "rollout.yaml").resolve()
    made = make(engine, rollout=rollout, stacks=options.stacks, parallel=options.parallel)
    text = made.model_dump_json(indent=1) + "\n" if options.as_json else markdown(made, options.limit)
    if options.output is not None:
        from talos_gpu.cli.own_output import warn_if_it_counts  # noqa: PLC0415 - only here
        from talos_gpu.rollout.store import replace  # noqa: PLC0415

        replace(options.output.resolve(), text)
        warn_if_it_counts(engine.pulumi.project, options.output)
    elif sys.stdout.isatty() and not options.as_json:
        from talos_gpu.preview.terminal import show  # noqa: PLC0415 - rich is for terminals alone

        show(text)
    else:
        print(text, end="")
    return _BLOCKED if any(made.blocked) else _FINE


def _pack(project: Path, named: Path | None) -> Path | None:
    said = os.environ.get(_VARIABLE, "")
    if named is None and said:
        return Path(said).resolve()  # whatever language it is in: the engine judges it
    pack = named.resolve() if named is not None else project / _PACK
    if not (pack / "PulumiPolicy.yaml").is_file():
        if named is not None:
            raise UsageError(f"{named} is no policy pack: it has no PulumiPolicy.yaml", remedy="name its folder")
        return None
    if not (pack / ".venv").is_dir():
        remedy = f"uv sync --locked --project {pack}"
        if named is not None:
            raise UsageError(f"the environment of the policy pack {pack} is not installed", remedy=remedy)
        print(f"no policy pack is run: the environment of {pack} is not installed ({remedy})", file=sys.stderr)
        return None
    return pack


def _pack_config(project: Path, named: Path | None) -> Path | None:
    if named is not None and not named.is_file():
        raise UsageError(f"{named}: no such file", remedy="name the policy pack's configuration, a JSON file")
    said = os.environ.get(f"{_VARIABLE}_CONFIG", "")
    config = named.resolve() if named is not None else Path(said).resolve() if said else project / _PACK_CONFIG
    return config if config.is_file() else None
