"""`talos-gpu schema`: JSON schemas for editors and for programs that read our reports."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from talos_gpu.errors import UsageError
from talos_gpu.preview.model import Preview
from talos_gpu.rollout.model import RolloutFile
from talos_gpu.rollout.report import Report
from talos_gpu.settings.faults import did_you_mean
from talos_gpu.settings.json_schema import stack_schema

app = typer.Typer(
    name="schema",
    help="JSON schemas: stack files, rollout.yaml, reports.",
    rich_markup_mode=None,
    add_completion=False,
    pretty_exceptions_enable=False,
)
SCHEMAS: Mapping[str, Callable[[], dict[str, Any]]] = {
    "stack": stack_schema,
    "rollout": RolloutFile.model_json_schema,
    "rollout-report": Report.model_json_schema,
    "preview": Preview.model_json_schema,
}
FOLDER = "schemas"
"""Where the project keeps them, NAME.json."""


def text_of(name: str) -> str:
    """A schema's text. Raises UsageError if there is none of this name."""
    if name not in SCHEMAS:
        raise UsageError(f"there is no schema {name!r}", remedy=did_you_mean(name, SCHEMAS))
    return json.dumps(SCHEMAS[name](), indent=2, ensure_ascii=False) + "\n"


@app.command()
def schema(
    name: Annotated[str, typer.Argument(help=", ".join(SCHEMAS))] = "stack",
    write: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Write all of them there, NAME.json.")] = None,
) -> None:
    """Print a schema, or write all. In a YAML file: `# yaml-language-server: $schema=schemas/stack.json`."""
    if write is None:
        typer.echo(text_of(name), nl=False)
        return
    write.mkdir(parents=True, exist_ok=True)
    for each in SCHEMAS:
        (write / f"{each}.json").write_text(text_of(each), encoding="utf-8")
        typer.echo(write / f"{each}.json")
