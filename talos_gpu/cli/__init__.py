"""The `talos-gpu` command: a table of subcommands, each in a module of its own that is imported when it is called."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup
from typing_extensions import override

from talos_gpu.errors import TalosGpuError

COMMANDS: Mapping[str, tuple[str, str]] = {}
"""Name -> (module with a typer app called `app`, the line that --help shows)."""

UNUSABLE = 2
"""Exit code: the input cannot be used, or nothing could be told."""


class _Lazy(TyperGroup):
    @override
    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    @override
    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        found = typer.main.get_command(import_module(COMMANDS[cmd_name][0]).app)
        found.name = cmd_name
        return found

    @override
    def format_commands(self, ctx: Any, formatter: Any) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


app = typer.Typer(
    cls=_Lazy,
    name="talos-gpu",
    help="NVIDIA GPUs on Talos Linux: specs, machine configs, proofs, diagnoses, rollouts.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
)


@app.callback()
def _talos_gpu() -> None:
    pass


def main() -> None:
    """Run the command line; a TalosGpuError ends in its own words on stderr and exit code 2, never in a traceback."""
    try:
        app(prog_name="talos-gpu")
    except TalosGpuError as error:
        typer.echo(f"talos-gpu: {error}", err=True)
        sys.exit(UNUSABLE)
