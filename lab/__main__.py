"""`python -m lab`: the lab from the command line."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from lab import kubectl as kube
from lab.errors import LabError, LabRefused
from lab.lab import Lab
from lab.paths import LabPaths, cache_root
from lab.report import Report
from lab.toolchain import folder
from talos_gpu.errors import TalosGpuError, UsageError

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__, pretty_exceptions_enable=False)
console = Console(highlight=False, soft_wrap=False)

Name = Annotated[str, typer.Option("--name", help="which lab; several live beside each other", envvar="TALOS_LAB")]
NodeName = Annotated[str | None, typer.Option("--node", help="which node; the first one unless said")]
AsJson = Annotated[bool, typer.Option("--json", help="print JSON for a program to read")]

_ANOTHERS = {"ignore_unknown_options": True, "allow_interspersed_args": False}
"""Of a command that runs another one: what follows that one's name belongs to it."""


def _lab(name: str) -> Lab:
    lab = Lab(name, folder())
    if lab.record is None:
        raise LabRefused(f"there is no lab {name!r}", remedy="make up")
    return lab


@app.command()
def up(name: Name = "lab") -> None:
    """Bring up the lab, run `pulumi up` on stack lab, verify, and print what was proven."""
    from lab.up import bring_up  # noqa: PLC0415 - the other commands need none of what this imports

    report = bring_up(name, _say)
    report.show(console)
    if report.failed:
        raise typer.Exit(1)


@app.command()
def fleet(
    nodes: Annotated[
        list[int] | None, typer.Option(min=1, max=8, help="nodes of one cluster; again for a further cluster")
    ] = None,
    name: Name = "fleet",
) -> None:
    """Bring up several nodes, in one cluster or more, a stack each, and write a rollout.yaml over them."""
    from lab.fleet import bring_up, command  # noqa: PLC0415 - see up

    made = bring_up(name, nodes or [2], _say)
    _say(f'Next: eval "$({sys.executable} -m lab env --name {name})"')
    _say(f"      {command(made)} plan")


@app.command()
def env(name: Name = "lab") -> None:
    """The lines by which a shell's `pulumi` and `talos-gpu rollout` use the lab's engine and state."""
    from lab.fleet import exports  # noqa: PLC0415 - see up

    for key, value in exports(_lab(name)).items():
        typer.echo(f"export {key}={shlex.quote(value)}")


@app.command()
def prepare() -> None:
    """Install the system packages, the tests' too, and find or build every program, without starting anything."""
    from lab.system import browser_packages, ensure  # noqa: PLC0415 - see up
    from lab.up import prepare_machine  # noqa: PLC0415

    prepare_machine(_say)
    ensure(browser_packages())


@app.command()
def down(name: Name = "lab") -> None:
    """End and delete everything of the lab, every cluster of a fleet; the cache of built programs stays."""
    from lab import fleet as fleets  # noqa: PLC0415 - see up

    lab = Lab(name, folder())
    with lab.locked():
        for line in fleets.down(lab):
            _say(f"ended: {line}")


@app.command()
def status(name: Name = "lab", as_json: AsJson = False) -> None:
    """What runs, where it listens, how the node is."""
    lab = _lab(name)
    record = lab.record
    facts = {
        "lab": name,
        "subnet": record.subnet if record else "",
        "nodes": {
            node.name: {"address": node.endpoint, "up": node.daemon.pid is not None, "pid": node.pid}
            for node in lab.nodes
        },
        "control_plane": {daemon.name: daemon.pid for daemon in lab.cluster.daemons}
        if record and record.cluster
        else {},
    }
    if as_json:
        console.print_json(data=facts)
        return
    for node in lab.nodes:
        _say(f"node {node.name}  {node.endpoint}  {'up' if node.daemon.pid else 'down'}")
    if record and record.cluster:
        for daemon in lab.cluster.daemons:
            _say(f"{daemon.name}  {'pid ' + str(daemon.pid) if daemon.pid else 'down'}")
        typer.echo(kube.kubectl(lab, "get", "nodes,pods", "-A", "-o", "wide", check=False))


@app.command()
def report(name: Name = "lab", as_json: AsJson = False) -> None:
    """The closing table of the last `up`; exit code 1 where a claim has failed."""
    found = Report.load(_lab(name).paths.root / "report.json")
    if found is None:
        raise LabRefused("no `up` of this lab has ended yet", remedy="make up")
    if as_json:
        typer.echo(found.as_json())
    else:
        found.show(console)
    if found.failed:
        raise typer.Exit(1)


@app.command()
def reboot(name: Name = "lab", node: NodeName = None) -> None:
    """Reboot a node through the Talos API and wait for its new boot."""
    from lab.reboot import reboot_node  # noqa: PLC0415 - pulls in the Talos client

    started = time.monotonic()
    before, after = reboot_node(_lab(name), node)
    _say(f"boot {before} -> {after}, {time.monotonic() - started:.1f} s")


@app.command("exec", context_settings=_ANOTHERS)
def execute(words: list[str], name: Name = "lab", node: NodeName = None) -> None:
    """Run a command inside the node: its namespaces, its root (there is no shell)."""
    raise typer.Exit(subprocess.run(_lab(name).node(node).command(*words), check=False).returncode)


@app.command("kubectl", context_settings=_ANOTHERS)
def kubectl_command(words: list[str], name: Name = "lab") -> None:
    """Run kubectl with the lab's credentials."""
    command = kube.command(_lab(name), *words)
    sys.stdout.flush()
    os.execv(command[0], command)  # noqa: S606 - this process becomes kubectl


@app.command()
def paths(name: Name = "lab", as_json: AsJson = False) -> None:
    """Where the lab keeps what: state, credentials, cache."""
    where = LabPaths.of(name)
    found: dict[str, Path] = {
        "state": where.root,
        "talosconfig": where.talosconfig,
        "kubeconfig": where.kubeconfig,
        "pulumi_home": where.pulumi_home,
        "pulumi_state": where.pulumi_state,
        "cache": cache_root(),
        "programs": folder(),
    }
    if as_json:
        console.print_json(data={key: str(value) for key, value in found.items()})
        return
    for key, value in found.items():
        typer.echo(f"{key:14} {value}")


def _say(line: str) -> None:
    console.print(line, markup=False, soft_wrap=True)


def main() -> None:
    """Entry point: a failure of ours ends with its message and exit code 2 or 1, never with a traceback."""
    try:
        app()
    except (LabError, TalosGpuError) as error:
        print(f"lab: {error}", file=sys.stderr)
        sys.exit(2 if isinstance(error, LabRefused | UsageError) else 1)


if __name__ == "__main__":
    main()
