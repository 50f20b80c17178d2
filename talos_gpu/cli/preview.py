"""`talos-gpu preview`: what an update of stacks would do, for whoever reviews it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
import yaml

from talos_gpu.errors import UsageError
from talos_gpu.preview.make import make
from talos_gpu.preview.markdown import LIMIT, SMALLEST, markdown
from talos_gpu.rollout.pulumi_cli import Pulumi
from talos_gpu.rollout.store import replace

app = typer.Typer(
    name="preview",
    help="What an update would do, for a reviewer.",
    rich_markup_mode=None,
    add_completion=False,
    pretty_exceptions_enable=False,
)
_BLOCKED = 1
_PACK = "policy"


@app.command()
def preview(
    stacks: Annotated[
        list[str] | None, typer.Argument(metavar="[STACK...]", help="Default: those of rollout.yaml, else all.")
    ] = None,
    *,
    project: Annotated[Path, typer.Option(help="Folder of Pulumi.yaml.")] = Path(),
    file: Annotated[Path | None, typer.Option("--file", "-f", help="Default: rollout.yaml in the project.")] = None,
    stack_files: Annotated[Path | None, typer.Option(help="Folder of the Pulumi.STACK.yaml; default: project.")] = None,
    refresh: Annotated[bool, typer.Option("--refresh", help="Look at nodes and cluster; drift is told apart.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="JSON (`talos-gpu schema preview`).")] = False,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write there instead.")] = None,
    limit: Annotated[int, typer.Option(min=SMALLEST, help="Bytes of Markdown at most.")] = LIMIT,
    policy_pack: Annotated[Path | None, typer.Option(help="Default: policy/ in the project if installed.")] = None,
    policy: Annotated[bool, typer.Option("--policy/--no-policy", help="Run the policy pack.")] = True,
    parallel: Annotated[int, typer.Option(min=1, max=64, help="Previews at the same time.")] = 4,
) -> None:
    """Preview stacks and write one Markdown comment: changes, reboots, CDI and machine config differences, the hash.

    Needs neither node nor cluster unless --refresh is said. Exit code 1: an update of a stack would be refused.
    """
    folder = project.resolve()
    pack = _pack(folder, policy_pack) if policy else None
    made = make(
        Pulumi.find(folder, (stack_files or folder).resolve()),
        project=_name(folder),
        rollout=(file or folder / "rollout.yaml").resolve(),
        stacks=stacks or [],
        refresh=refresh,
        policy_pack=pack,
        parallel=parallel,
    )
    text = made.model_dump_json(indent=1) + "\n" if as_json else markdown(made, limit)
    if output is not None:
        replace(output.resolve(), text)
    elif sys.stdout.isatty() and not as_json:
        from talos_gpu.preview.terminal import show  # noqa: PLC0415 - rich is for terminals alone

        show(text)
    else:
        typer.echo(text, nl=False)
    if any(made.blocked):
        raise typer.Exit(_BLOCKED)


def _pack(project: Path, named: Path | None) -> Path | None:
    pack = named.resolve() if named is not None else project / _PACK
    if not (pack / "PulumiPolicy.yaml").is_file():
        if named is not None:
            raise UsageError(f"{named} is no policy pack: it has no PulumiPolicy.yaml", remedy="name its folder")
        return None
    if not (pack / ".venv").is_dir():
        remedy = f"uv sync --locked --project {pack}"
        if named is not None:
            raise UsageError(f"the environment of the policy pack {pack} is not installed", remedy=remedy)
        typer.echo(f"no policy pack is run: the environment of {pack} is not installed ({remedy})", err=True)
        return None
    return pack


def _name(project: Path) -> str:
    path = project / "Pulumi.yaml"
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise UsageError(f"{path} cannot be read: {error}", remedy="name the project with --project") from None
    return str(document.get("name") or "project") if isinstance(document, dict) else "project"
