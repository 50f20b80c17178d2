"""`talos-gpu rollout`: many stacks in waves, planned and approved as a whole."""

from __future__ import annotations

import getpass
import json
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer
from pydantic import BaseModel
from rich.console import Console

from talos_gpu.cli.own_output import warn_if_it_counts
from talos_gpu.cli.rollout_export import export
from talos_gpu.cli.rollout_where import Where, called
from talos_gpu.errors import UsageError
from talos_gpu.rollout import lock, planner, stop
from talos_gpu.rollout import report as reports
from talos_gpu.rollout.drive import View
from talos_gpu.rollout.fleet import Fleet
from talos_gpu.rollout.model import RolloutFile
from talos_gpu.rollout.page import page
from talos_gpu.rollout.plan import Plan
from talos_gpu.rollout.records import Outcome
from talos_gpu.rollout.show import Events, Lines, LiveTable
from talos_gpu.rollout.store import Store, replace
from talos_gpu.rollout.versions import file_digest, source_of
from talos_gpu.rollout.waves import no_stack, select
from talos_gpu.settings.stack_file import stack_files

app = typer.Typer(
    name="rollout",
    help="Roll a change out over many stacks, in waves that stop when one fails.",
    no_args_is_help=True,
    rich_markup_mode=None,
    add_completion=False,
    pretty_exceptions_enable=False,
)
_FINDINGS = 1
_HASH = 8

app.command()(export)
Json = Annotated[bool, typer.Option("--json", help="JSON for programs, on standard output.")]


@app.callback()
def _rollout(
    context: typer.Context,
    file: Annotated[Path | None, typer.Option("--file", "-f", help="Default: rollout.yaml in the project.")] = None,
    project: Annotated[Path, typer.Option(help="Folder of Pulumi.yaml.")] = Path(),
    state_dir: Annotated[
        Path | None, typer.Option(envvar="TALOS_GPU_ROLLOUT_STATE", help="Where plans and journals are kept.")
    ] = None,
) -> None:
    folder = project.resolve()
    path = (file or folder / "rollout.yaml").resolve()
    context.obj = Where(path, folder, state_dir and state_dir.resolve(), called(context))


@app.command()
def plan(
    context: typer.Context,
    as_json: Json = False,
    show: Annotated[bool, typer.Option("--show", help="Show the last plan again; look at nothing.")] = False,
) -> None:
    """Validate, look at and preview every stack; touch nothing."""

    where: Where = context.obj
    made = where.store(where.model().fleet).plan() if show else _planned(where)
    if as_json:
        typer.echo(json.dumps({"hash": made.hash, **made.model_dump(mode="json")}, indent=1))
    else:
        typer.echo(reports.plan_markdown(made, where.command))
    if made.faults:
        raise typer.Exit(_FINDINGS)


def _planned(where: Where) -> Plan:
    from talos_gpu.rollout.inspect_stack import InspectStack  # noqa: PLC0415 - its clients are heavy, and only here

    model = where.model()
    session = where.session([])
    store, pulumi = session.store, session.pulumi
    warn_if_it_counts(where.project, store.folder)
    made = planner.make(
        model,
        where.file,
        list(stack_files(pulumi.stack_files)),
        source_of(where.project, where.file),
        rollout=file_digest(where.file),
        inspect=InspectStack(pulumi, store.logs, model.preflight, model.refresh, planner.gates_of(model)),
        held=store.holds(),
        said=lambda stack: typer.echo(f"planned {stack.name}", err=True),
    )
    store.save_plan(made)
    return made


@app.command()
def approve(
    context: typer.Context, plan_hash: Annotated[str, typer.Argument(metavar="HASH", help="As `plan` showed it.")]
) -> None:
    """Say yes to the plan with this hash, and to no other."""
    where: Where = context.obj
    store = where.store(where.model().fleet)
    found = store.plan()
    if len(plan_hash) < _HASH or not found.hash.startswith(plan_hash):
        raise UsageError(
            f"the plan's hash is {found.hash[:12]}, not {plan_hash}",
            remedy=f"read the plan (`{where.command} plan --show`), then name its hash",
        )
    store.approve(found, getpass.getuser())
    typer.echo(f"approved {found.hash[:12]}; next: {where.command} run")


@app.command()
def run(context: typer.Context, as_json: Json = False) -> None:
    """Carry the approved plan out. Ctrl-C finishes what runs; a second one interrupts it."""
    _carry_out(context.obj, "run", as_json=as_json)


@app.command()
def resume(context: typer.Context, as_json: Json = False) -> None:
    """Go on after a kill, an interruption or a failure."""
    _carry_out(context.obj, "resume", as_json=as_json)


@app.command()
def abort(context: typer.Context) -> None:
    """Stop a running rollout after what is in work, or give up an unfinished one."""
    where: Where = context.obj
    store = where.store(where.model().fleet)
    asked = stop.ask_to_stop(store)
    if asked is not None:
        typer.echo(f"asked process {asked.pid} to finish what is in work and stop")
        return
    fleet = stop.abort(store)
    _leave(where, store, fleet)


@app.command()
def status(context: typer.Context, as_json: Json = False) -> None:
    """Where the rollout is."""

    where: Where = context.obj
    store = where.store(where.model().fleet)
    made = where.report(store)
    if as_json:
        typer.echo(made.model_dump_json(indent=1))
        return
    holder = lock.holder(store.lock) if lock.is_held(store.lock) else None
    typer.echo(f"worked on by {lock.describe(holder)}" if holder else "no process works on it")
    typer.echo(reports.markdown(made))


@app.command()
def report(
    context: typer.Context,
    as_json: Json = False,
    html: Annotated[Path | None, typer.Option(help="Write one self-contained page there.")] = None,
) -> None:
    """The report of the last rollout, as Markdown, JSON or a page."""

    where: Where = context.obj
    store = where.store(where.model().fleet)
    made = where.report(store)
    if html is not None:
        html.write_text(page(made), encoding="utf-8")
        warn_if_it_counts(where.project, html)
    typer.echo(made.model_dump_json(indent=1) if as_json else reports.markdown(made))


@app.command()
def hold(context: typer.Context, stacks: Annotated[list[str], typer.Argument(help="Names or globs.")]) -> None:
    """Do not start these stacks, also while a rollout runs."""
    where: Where = context.obj
    model = where.model()
    known = select(model, list(stack_files(where.stack_folder(model))))[0]
    faults = no_stack(((word, word) for word in stacks), known)
    if faults:
        words = "; ".join(f"{fault.value} {fault.rule} of this fleet" for fault in faults)
        raise UsageError(f"nothing was put on hold: {words}", remedy=faults[0].remedy or "name stacks that are there")
    store = where.store(model.fleet)
    store.save_holds(list(dict.fromkeys([*store.holds(), *stacks])))
    typer.echo(f"on hold: {' '.join(store.holds())}")


@app.command()
def release(context: typer.Context, stacks: Annotated[list[str], typer.Argument(help="As they were held.")]) -> None:
    """Take stacks off hold."""
    where: Where = context.obj
    store = where.store(where.model().fleet)
    unknown = [glob for glob in stacks if glob not in store.holds()]
    if unknown:
        raise UsageError(f"not on hold: {' '.join(unknown)}", remedy=f"on hold: {' '.join(store.holds()) or 'nothing'}")
    store.save_holds([glob for glob in store.holds() if glob not in stacks])
    typer.echo(f"on hold: {' '.join(store.holds()) or 'nothing'}")


@app.command()
def schema(of: Annotated[str, typer.Argument(help="`rollout` (rollout.yaml) or `report`.")] = "rollout") -> None:
    """The JSON schema of rollout.yaml or of the report."""

    models: dict[str, type[BaseModel]] = {"rollout": RolloutFile, "report": reports.Report}
    if of not in models:
        raise UsageError(f"there is no schema of {of!r}", remedy="rollout or report")
    typer.echo(json.dumps(models[of].model_json_schema(), indent=1))


def _carry_out(where: Where, verb: str, *, as_json: bool) -> None:

    with ExitStack() as stack:
        view: View
        if as_json:
            view = Events(_line)
        elif sys.stdout.isatty():
            view = stack.enter_context(LiveTable(Console()))
        else:
            view = Lines(_line)
        session = where.session([view])
        fleet = session.run() if verb == "run" else session.resume()
    _leave(where, session.store, fleet, quiet=as_json)


def _line(text: str) -> None:
    typer.echo(text)
    sys.stdout.flush()


def _leave(where: Where, store: Store, fleet: Fleet, *, quiet: bool = False) -> None:
    """Write the reports, say what to do next, and end with the exit code that fits."""

    made = where.report(store, fleet.plan)
    folder = store.folder
    replace(folder / "report.json", made.model_dump_json(indent=1))
    replace(folder / "report.md", reports.markdown(made))
    replace(folder / "report.html", page(made))
    if not quiet:
        typer.echo(reports.ending(made))
        typer.echo(f"report: {folder / 'report.html'}")
    if fleet.outcome is not Outcome.COMPLETE:
        raise typer.Exit(_FINDINGS)
