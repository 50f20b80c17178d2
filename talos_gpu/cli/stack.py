"""`talos-gpu stack`: new stack files."""

from __future__ import annotations

import asyncio
import os
import re
from pathlib import Path
from typing import Annotated

import typer

from talos_gpu.cli.method import METAVAR, method_of
from talos_gpu.errors import UsageError
from talos_gpu.settings.stack_file import stack_files
from talos_gpu.stack_new.ask import Answers, ask
from talos_gpu.stack_new.look import look
from talos_gpu.stack_new.write import proposed, text_of, why
from talos_gpu.talos.releases import Method, spelled

_NAME = re.compile(r"[A-Za-z0-9._-]{1,100}")
"""What Pulumi takes as a stack's name (sdk/go/common/tokens, ParseStackName)."""

app = typer.Typer(
    name="stack",
    help="Stack files.",
    no_args_is_help=True,
    rich_markup_mode=None,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback()
def _stack() -> None:
    pass


@app.command()
def new(
    name: Annotated[str, typer.Argument(help="The stack's name: Pulumi.NAME.yaml.")],
    *,
    project: Annotated[Path, typer.Option(help="Where the file is written.")] = Path(),
    address: Annotated[str, typer.Option(help="IP address of the node.")] = "",
    endpoint: Annotated[str, typer.Option(help="HOST or HOST:PORT to dial for the Talos API.")] = "",
    talosconfig: Annotated[str, typer.Option(help="Path; default: $TALOSCONFIG, then ~/.talos/config.")] = "",
    context: Annotated[str, typer.Option(help="The talosconfig's; default: its current one.")] = "",
    node: Annotated[str, typer.Option(help="As Kubernetes knows it.")] = "",
    talos: Annotated[str, typer.Option(help="Talos release: v1.11.1.")] = "",
    gpu: Annotated[str, typer.Option(help="As nvidia-smi names it.")] = "",
    driver: Annotated[str, typer.Option(help="NVIDIA driver version.")] = "",
    memory_mib: Annotated[int, typer.Option(min=0, help="Of the GPU, in MiB.")] = 0,
    base: Annotated[str, typer.Option(help="Path of the node's machine config.")] = "",
    server_url: Annotated[str, typer.Option(help="Of the Tdarr server; empty: the GPU alone.")] = "",
    tdarr_image: Annotated[str, typer.Option(help="The worker's image.")] = "",
    method: Annotated[
        Method | None,
        typer.Option(
            parser=method_of, metavar=METAVAR, help="How containers get the GPU [default: the release's best]."
        ),
    ] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Do not look at the node.")] = False,
    questions: Annotated[bool, typer.Option("--ask/--no-ask", help="Ask for what is not known.")] = True,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
) -> None:
    """Write a valid stack file: from flags, from the node itself (role os:reader is enough), and from questions."""
    if not _NAME.fullmatch(name):
        rule = "is no name of a stack: letters, digits, `-`, `_` and `.`, 100 of them at most"
        raise UsageError(f"{name!r} {rule}", remedy="name it after its node: talos05")
    if not project.is_dir():
        raise UsageError(f"{project} is no folder", remedy="--project names the folder of Pulumi.yaml")
    path = project / f"Pulumi.{name}.yaml"
    if path.exists() and not force:
        known = ", ".join(stack_files(project))
        raise UsageError(f"{path} is there already", remedy=f"another name, or --force; stacks: {known}")
    answers = Answers(
        node=node,
        address=address,
        endpoint=endpoint,
        talosconfig=talosconfig,
        talos_context=context,
        talos=talos,
        gpu=gpu,
        driver=driver,
        memory_mib=memory_mib,
        base=base,
        server_url=server_url,
        tdarr_image=tdarr_image,
        method=spelled(method) if method else "",
    )
    if not offline:
        address = answers.address or (typer.prompt("Address of the node") if questions else "")
        if not address:
            raise UsageError("the node's address is not known", remedy="--address, or --offline and all other flags")
        seen = asyncio.run(look(address, endpoint, talosconfig, context))
        for line in seen.told:
            typer.echo(line, err=True)
        answers = answers.or_else(seen.answers)
    if questions:
        answers = ask(answers, name)
    text = text_of(answers)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(path)
    typer.echo(why(answers.method or proposed(answers.talos), answers.talos), err=True)
    typer.echo(f"wrote {path}; next: talos-gpu images pin {name}; pulumi stack init {name}; talos-gpu preview {name}")
