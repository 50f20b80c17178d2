"""`talos-gpu machine`: machine configs, without a node unless one is named."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from talos_gpu.cli.method import METAVAR, method_of
from talos_gpu.errors import UsageError
from talos_gpu.talos.client import MachineClient
from talos_gpu.talos.config_diff import config_diff
from talos_gpu.talos.credentials import TalosConfig
from talos_gpu.talos.errors import MachineConfigConflict, MethodUnfit, UnknownRelease
from talos_gpu.talos.machine_config import Lacking, lacking, wanted
from talos_gpu.talos.reboot import By, RebootReason, reboot_reasons
from talos_gpu.talos.releases import Method, strategy_for
from talos_gpu.talos.removal import live_config, removed
from talos_gpu.talos.render import render as laid

REFUSED = 1
STDIN = "-"

app = typer.Typer(
    help="Machine configs: what a node's config lacks for the GPU, and what adding it costs.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    add_completion=False,
)


class BaseUnreadable(UsageError):
    """The base machine config's file cannot be read."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}", remedy="name the file with the node's machine config, or - for stdin")


@app.callback()
def _machine() -> None:
    pass


@app.command()
def render(
    *,
    talos: Annotated[str, typer.Option("--talos", metavar="VERSION", help="The node's Talos release: v1.11.1.")],
    base: Annotated[str, typer.Option("--base", metavar="FILE", help="The machine config as it is; - for stdin.")],
    method: Annotated[
        Method | None,
        typer.Option(
            parser=method_of, metavar=METAVAR, help="How containers get the GPU [default: spec, from 1.13 on native]."
        ),
    ] = None,
    default_runtime: Annotated[
        bool, typer.Option("--default-runtime", help="Every pod of the node goes through the NVIDIA runtime.")
    ] = False,
    treat_as: Annotated[
        str, typer.Option("--treat-as", metavar="VERSION", help="Take this known release's facts instead.")
    ] = "",
    diff: Annotated[bool, typer.Option("--diff", help="What changes and why, secrets hidden, instead.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="With --diff: for programs.")] = False,
    node: Annotated[
        str, typer.Option("--node", metavar="ADDRESS", help="Compare with this node's live machine config too.")
    ] = "",
    endpoint: Annotated[
        str, typer.Option(metavar="HOST[:PORT]", help="With --node: what is dialled [default: the node].")
    ] = "",
    talosconfig: Annotated[str, typer.Option(metavar="FILE", help="With --node [default: $TALOSCONFIG].")] = "",
    context: Annotated[str, typer.Option(help="With --node: the talosconfig's [default: its current one].")] = "",
    allow_removal: Annotated[
        bool, typer.Option("--allow-removal", help="With --node: what only the live config has may go.")
    ] = False,
) -> None:
    """Print the machine config with what the GPU needs; with --diff, what that changes.

    Exit code 1, and nothing on stdout, where it refuses: the base and the GPU exclude each other, the release is not
    known, or (with --node) the live config has keys that the base has not. 2 where the base cannot be read. The config
    is printed whole, with its secrets.
    """
    text = _read(base)
    try:
        release = strategy_for(talos, treat_as=treat_as or None)
        chosen = method or (Method.NATIVE if release.native else Method.SPEC)
        lacks = lacking(text, wanted(release, chosen, default_runtime=default_runtime))
        rendered = laid(text, lacks.patches)
        if node and (gone := _removed(_client(node, endpoint, talosconfig, context), rendered)):
            _tell_removed(node, gone, allowed=allow_removal)
    except (MachineConfigConflict, MethodUnfit, UnknownRelease) as refusal:
        typer.echo(f"talos-gpu: {refusal}", err=True)
        raise typer.Exit(REFUSED) from None
    for warning in filter(None, (release.caution, *lacks.warnings)):
        typer.echo(f"warning: {warning}", err=True)
    if not diff:
        sys.stdout.write(rendered)
        return
    reasons = reboot_reasons(text, rendered, release)
    changes = config_diff(text, rendered)
    typer.echo(_as_json(lacks, reasons, changes) if as_json else _as_text(lacks, reasons, changes), nl=False)


def _client(node: str, endpoint: str, talosconfig: str, context: str) -> MachineClient:
    credentials = TalosConfig.load(talosconfig or None, context or None)
    return MachineClient(credentials, endpoint or node, node if endpoint else None)


def _removed(node: MachineClient, rendered: str) -> tuple[str, ...]:
    async def ask() -> str:
        async with node as client:
            return await live_config(client)

    return removed(asyncio.run(ask()), rendered)


def _tell_removed(node: str, gone: Sequence[str], *, allowed: bool) -> None:
    listed = "".join(f"\n  - {key}" for key in gone)
    typer.echo(f"talos-gpu: the live machine config of {node} has what this one has not:{listed}", err=True)
    if not allowed:
        typer.echo("  remedy: put it into the base, or say --allow-removal", err=True)
        raise typer.Exit(REFUSED)


def _read(path: str) -> str:
    try:
        return sys.stdin.read() if path == STDIN else Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise BaseUnreadable(path, error.strerror or "cannot be read") from None
    except UnicodeDecodeError:
        raise BaseUnreadable(path, "not text") from None


def _as_text(lacks: Lacking, reasons: tuple[RebootReason, ...], changes: str) -> str:
    if not lacks.items:
        return "nothing to add\n"
    added = "".join(f"+ {item}\n" for item in lacks.items)
    return f"{added}{_restart(reasons)}\n{changes}"


def _restart(reasons: tuple[RebootReason, ...]) -> str:
    if not reasons:
        return "applied to the running machine, no restart\n"
    how = "applying it restarts the node" if reasons[0].by is By.APPLY else "holds after a restart that you ask for"
    return f"{how}: {'; '.join(reason.sentence for reason in reasons)}\n"


def _as_json(lacks: Lacking, reasons: tuple[RebootReason, ...], changes: str) -> str:
    about = {
        "added": lacks.items,
        "warnings": lacks.warnings,
        "restarts": [{"key": reason.key, "why": reason.why, "by": reason.by} for reason in reasons],
        "diff": changes,
    }
    return json.dumps(about, indent=2) + "\n"
