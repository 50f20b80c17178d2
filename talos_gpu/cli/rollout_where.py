"""Which rollout a command is about: the file, the project, the state, and how it was called."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import typer
import yaml

from talos_gpu.errors import UsageError
from talos_gpu.rollout import report as reports
from talos_gpu.rollout.drive import View
from talos_gpu.rollout.errors import COMMAND
from talos_gpu.rollout.load import load
from talos_gpu.rollout.model import RolloutFile
from talos_gpu.rollout.plan import Plan
from talos_gpu.rollout.pulumi_cli import Pulumi
from talos_gpu.rollout.session import Session
from talos_gpu.rollout.store import Store, default_root


@dataclass(frozen=True, slots=True)
class Where:
    """What all subcommands need."""

    file: Path
    project: Path
    state: Path | None
    command: str
    """How it was called, for the commands that it tells to run next."""

    def model(self) -> RolloutFile:
        """The file's model. Raises UsageError, RolloutInvalid."""
        return load(self.file)

    def store(self, fleet: str) -> Store:
        """The fleet's folder."""
        return Store.of(self.state or default_root(), self.name(), fleet, self.command)

    def stack_folder(self, model: RolloutFile) -> Path:
        """Where the stack files lie; the very `project` if it is there."""
        folder = (self.project / model.stack_files).resolve()
        return self.project if folder == self.project else folder

    def session(self, views: Sequence[View]) -> Session:
        """A session on the project. Raises UsageError if there is no pulumi."""
        model = self.model()
        pulumi = Pulumi.find(self.project, self.stack_folder(model))
        return Session(self.store(model.fleet), pulumi, self.file, views)

    def report(self, store: Store, plan: Plan | None = None) -> reports.Report:
        """The report of the fleet's last rollout, whose plan may be known. Raises NotPlanned if none was begun."""
        return reports.make(plan or store.running_plan(), store.records(), command=self.command, holds=store.holds())

    def name(self) -> str:
        """The project's name. Raises UsageError if there is no Pulumi.yaml."""
        path = self.project / "Pulumi.yaml"
        try:
            document = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, yaml.YAMLError) as error:
            raise UsageError(f"{path} cannot be read: {error}", remedy="name the project with --project") from None
        return str(document.get("name") or "project") if isinstance(document, dict) else "project"


def called(context: typer.Context) -> str:
    """The command with the options that were given on the command line."""
    sources = {name: context.get_parameter_source(name) for name in context.params}
    given = [
        f"--{name.replace('_', '-')} {shlex.quote(str(context.params[name]))}"
        for name, source in sources.items()
        if source is not None and source.name == "COMMANDLINE"
    ]
    return " ".join([COMMAND, *given])
