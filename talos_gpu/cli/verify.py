"""`talos-gpu verify`: prove that the GPU encodes, decodes and computes."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Annotated

import typer

from talos_gpu.settings import Settings
from talos_gpu.settings.stack_file import stack_settings
from talos_gpu.verify import render
from talos_gpu.verify.report import Report
from talos_gpu.verify.stack import Options
from talos_gpu.verify.stack import verify as verify_stack
from talos_gpu.verify.subject import Credentials, Subject

app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False, add_completion=False)


@app.command()
def verify(
    stacks: Annotated[list[str], typer.Argument(metavar="STACK...", help="Stacks; several are verified at once.")],
    *,
    project: Annotated[Path, typer.Option(help="Folder with the stacks' files.")] = Path(),
    pod: Annotated[bool, typer.Option("--pod", help="In a throwaway pod, not in the running worker.")] = False,
    image: Annotated[str, typer.Option(help="Image of the throwaway pod; default: the worker's.")] = "",
    floor: Annotated[
        float | None, typer.Option(min=0, help="Least encode speed, times real time; 0: any; default: the stack's.")
    ] = None,
    while_busy: Annotated[bool, typer.Option("--while-busy", help="Also beside a running transcode.")] = False,
    ffmpeg: Annotated[str, typer.Option(help="ffmpeg's name or path in the container.")] = "ffmpeg",
    start_seconds: Annotated[float, typer.Option(min=1, help="How long a throwaway pod may take to run.")] = 300,
    as_json: Annotated[bool, typer.Option("--json", help="JSON on stdout; its form: docs/verify.md.")] = False,
    junit: Annotated[Path | None, typer.Option(help="Write JUnit XML to this file too.")] = None,
) -> None:
    """Prove the spec, the devices, nvidia-smi, both encoders, the decoder and CUDA, each with evidence.

    Exit code: 0 proven, 1 disproven, 2 could not tell.
    """

    def credentials(found: Settings) -> Credentials:
        return Credentials(found.talosconfig, found.kubeconfig, found.talos_context)

    if image and not pod:
        raise typer.BadParameter("is for the throwaway pod: add --pod", param_hint="--image")
    if junit is not None:
        _writable(junit)
    named = {stack: stack_settings(project / f"Pulumi.{stack}.yaml") for stack in dict.fromkeys(stacks)}
    options = Options(pod, image or None, floor, while_busy, ffmpeg, start_seconds)

    async def all_at_once() -> list[Report]:
        return await asyncio.gather(
            *(verify_stack(stack, Subject.of(found), credentials(found), options) for stack, found in named.items())
        )

    reports = asyncio.run(all_at_once())
    typer.echo(render.as_json(reports) if as_json else "".join(map(render.as_text, reports)), nl=False)
    codes = [report.exit_code for report in reports]
    if junit is not None:
        try:
            junit.write_text(render.as_junit(reports), encoding="utf-8")
        except OSError as error:
            typer.echo(f"error: {junit} was not written: {error.strerror}", err=True)
            codes.append(2)
    raise typer.Exit(1 if 1 in codes else max(codes))


def _writable(file: Path) -> None:
    """Raise BadParameter, before anything is proven, where the file cannot be written."""
    folder = file.parent
    wrong = ""
    if not folder.is_dir():
        wrong = f"{folder} is no folder: make it first"
    elif file.is_dir():
        wrong = f"{file} is a folder: name a file in it"
    elif not os.access(file if file.exists() else folder, os.W_OK):
        wrong = f"{file} may not be written by this user: name another place"
    if wrong:
        raise typer.BadParameter(wrong, param_hint="--junit")
