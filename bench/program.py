"""The program: a no-op preview of stack lab against the same resources written out flat, on one engine and state."""

from __future__ import annotations

import base64
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import yaml

from bench import flat_program
from bench.figure import Figure, Note
from bench.rounds import By, Rounds
from bench.timing import in_turns
from lab.stack import NAMESPACE, Stack
from talos_gpu.talos.credentials import TalosConfig

ROOT = Path(__file__).parents[1]
ROUNDS = 7
_BAR = 1.15


def measure(stack: Stack) -> list[Figure | Note]:
    """The figure and where its time goes; the stack must be up to date. About a minute."""
    with _projects(stack) as (flat, empty):
        seconds = in_turns([lambda: _preview(empty), lambda: _preview(flat), lambda: _own(stack)], ROUNDS)
    nothing, reference, ours = map(statistics.median, seconds)
    rounds = Rounds(tuple(seconds[1]), tuple(seconds[2]), By.MEDIAN)
    imports = _median_of([sys.executable, "-c", "import pulumi_kubernetes.core.v1, pulumiverse_talos"])
    bare = _median_of([sys.executable, "-c", "import pulumi"])
    start = _median_of([sys.executable, "-c", "import components.program"])
    parts = {
        "engine, language host and an empty program": nothing,
        "of which importing the Pulumi SDK": bare,
        "the SDKs of the two providers": imports - bare,
        "plugins and registrations": reference - nothing - (imports - bare),
        "our modules": start - imports,
        "the rest of ours": ours - reference - (start - imports),
    }
    return [
        Figure.of("program: no-op preview of stack lab", "the same resources flat, empty providers", rounds, _BAR),
        Note("program: an empty program's preview", f"{nothing:.2f} s"),
        *(Note(f"program: {part}", f"{seconds:+.2f} s") for part, seconds in parts.items()),
    ]


class _Project:
    """A project beside the stack's own: another program, a state of its own, the same engine and configuration."""

    def __init__(self, stack: Stack, folder: Path) -> None:
        self._stack, self.folder = stack, folder
        self._environment = stack.environment() | {"PULUMI_BACKEND_URL": f"file://{folder / 'state'}"}
        (folder / "state").mkdir(parents=True)
        about = {"name": NAMESPACE, "runtime": yaml.safe_load((ROOT / "Pulumi.yaml").read_text())["runtime"]}
        (folder / "Pulumi.yaml").write_text(yaml.safe_dump(about))
        shutil.copy(stack.config, folder / f"Pulumi.{stack.name}.yaml")
        (folder / ".venv").symlink_to(ROOT / ".venv")
        self.pulumi("stack", "init", stack.name)

    def pulumi(self, *words: str) -> str:
        command = [str(self._stack.engine.pulumi), "--non-interactive", "--color", "never", *words]
        done = subprocess.run(
            command, cwd=self.folder, env=self._environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        if done.returncode:
            raise SystemExit(f"`pulumi {' '.join(words)}` in {self.folder}:\n{done.stdout}{done.stderr}")
        return done.stdout


@contextmanager
def _projects(stack: Stack) -> Iterator[tuple[_Project, _Project]]:
    with tempfile.TemporaryDirectory(dir=stack.lab.paths.root) as folder:
        flat, empty = _Project(stack, Path(folder, "flat")), _Project(stack, Path(folder, "empty"))
        (empty.folder / "__main__.py").write_text("import pulumi\n")
        empty.pulumi("up", "-s", stack.name, "--yes", "--skip-preview")
        exported = json.loads(stack.run("stack", "export", "-s", stack.name, "--show-secrets").stdout)
        credentials = TalosConfig.load(stack.lab.paths.talosconfig)
        client = {
            "caCertificate": base64.b64encode(credentials.ca).decode(),
            "clientCertificate": base64.b64encode(credentials.crt).decode(),
            "clientKey": base64.b64encode(credentials.key).decode(),
        }
        flat_program.write(flat.folder, exported["deployment"]["resources"], client)
        serialize = (
            "from pulumi.dynamic.dynamic import serialize_provider; import empty_provider;"
            " print(serialize_provider(empty_provider.Empty()))"
        )
        serialized = subprocess.run(
            [sys.executable, "-c", serialize], cwd=flat.folder, capture_output=True, text=True, check=True
        ).stdout.strip()
        handed_over = flat.folder / "handed-over.json"
        handed_over.write_text(json.dumps(flat_program.for_empty_providers(exported, serialized)))
        flat.pulumi("stack", "import", "-s", stack.name, "--file", str(handed_over))
        yield flat, empty


def _preview(project: _Project) -> None:
    project.pulumi("preview", "-s", project._stack.name, "--expect-no-changes")


def _own(stack: Stack) -> None:
    stack.operation("preview", "--expect-no-changes")


def _median_of(command: Sequence[str]) -> float:
    def run() -> None:
        subprocess.run(command, cwd=ROOT, env={**os.environ, "PYTHONDONTWRITEBYTECODE": ""}, check=True)

    [seconds] = in_turns([run], ROUNDS)
    return statistics.median(seconds)
