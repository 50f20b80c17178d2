"""The root of the commands that typer reads."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperGroup
from typing_extensions import override

from talos_gpu.cli import COMMANDS, PLAIN, load


class _Lazy(TyperGroup):
    @override
    def list_commands(self, ctx: Any) -> list[str]:
        return sorted((*COMMANDS, *PLAIN))

    @override
    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        found = typer.main.get_command(load(COMMANDS[cmd_name][0]).app)
        found.name = cmd_name
        return found

    @override
    def format_commands(self, ctx: Any, formatter: Any) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in sorted({**COMMANDS, **PLAIN}.items())])


app = typer.Typer(
    cls=_Lazy,
    name="talos-gpu",
    help="NVIDIA GPUs on Talos Linux: specs, machine configs, proofs, diagnoses, rollouts.",
    epilog="`talos-gpu --version` tells which release this is.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
)


@app.callback()
def _talos_gpu() -> None:
    pass
