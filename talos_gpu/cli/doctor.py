"""`talos-gpu doctor`: why the GPU does not work."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Annotated

import typer

from talos_gpu.doctor import render
from talos_gpu.doctor.bundle import Bundle, load, save
from talos_gpu.doctor.checks import CHECKS
from talos_gpu.doctor.diagnose import diagnose
from talos_gpu.doctor.gather import gather
from talos_gpu.doctor.local import gather_local, local_checks
from talos_gpu.doctor.meta import before_upgrade
from talos_gpu.doctor.redact import redacted
from talos_gpu.errors import UsageError
from talos_gpu.settings.stack_file import stack_settings

_RELEASE = re.compile(r"v\d+\.\d+\.\d+(-[0-9A-Za-z.]+)?")

app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False, add_completion=False)


@app.command()
def doctor(
    stack: Annotated[str, typer.Argument(help="The stack whose node is looked at.")] = "",
    *,
    project: Annotated[Path, typer.Option(help="Folder with the stacks' files.")] = Path(),
    from_folder: Annotated[Path | None, typer.Option("--from", help="Diagnose saved evidence.")] = None,
    local: Annotated[bool, typer.Option("--local", help="This machine, without Talos or Kubernetes.")] = False,
    keep: Annotated[
        Path | None, typer.Option("--save", help="Save the evidence, redacted, in this new folder.")
    ] = None,
    upgrade_to: Annotated[
        str, typer.Option(help="A Talos release that the node is to get: v1.13.0; not with --local.")
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="JSON on stdout.")] = False,
) -> None:
    """Look at node and cluster, name the roots of what is wrong, hang the rest beneath them. Changes nothing.

    Exit code: 0 nothing wrong, 1 something is, 2 it could not be told.
    """
    if (bool(stack), from_folder is not None, local).count(True) != 1:
        raise UsageError("name a stack, or --from FOLDER, or --local", remedy="talos-gpu doctor --help")
    if upgrade_to and not _RELEASE.fullmatch(upgrade_to):
        raise UsageError(f"--upgrade-to {upgrade_to!r} is no Talos release", remedy="write it with the v: v1.13.0")
    if upgrade_to and local:
        raise UsageError("--upgrade-to is for Talos nodes, --local is not", remedy="leave one of them out")
    checks = local_checks(CHECKS) if local else CHECKS
    bundle = _evidence(stack, project, from_folder, upgrade_to)
    if keep is not None:
        save(redacted(bundle), keep)
    diagnosis = diagnose(bundle, checks)
    typer.echo(render.as_json(diagnosis) if as_json else render.as_text(diagnosis), nl=False)
    raise typer.Exit(diagnosis.exit_code)


def _evidence(stack: str, project: Path, from_folder: Path | None, upgrade_to: str) -> Bundle:
    if from_folder is not None:
        bundle = load(from_folder)
        return before_upgrade(bundle, upgrade_to) if upgrade_to else bundle
    if not stack:
        return gather_local()
    settings = stack_settings(project / f"Pulumi.{stack}.yaml")
    return asyncio.run(gather(stack, settings, upgrade_to=upgrade_to or None))
