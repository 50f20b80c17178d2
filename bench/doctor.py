"""The doctor: a full run against the slowest of its calls, and `talos-gpu --help` against a bare typer app."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from bench.figure import Figure
from bench.rounds import By, Rounds
from bench.timing import side_by_side
from lab.stack import Stack
from talos_gpu.doctor.diagnose import diagnose
from talos_gpu.doctor.gather import gather
from talos_gpu.doctor.spec_file import loaded
from talos_gpu.settings.stack_file import stack_settings

ROOT = Path(__file__).parents[1]
DELAY = 0.1
"""Seconds that the lab adds to every call."""
ROUNDS = 15
_BARE = """
import typer
app = typer.Typer(rich_markup_mode=None, add_completion=False)
@app.command()
def main() -> None: ...
app()
"""


def measure(stack: Stack) -> list[Figure]:
    """Both figures, the first on a lab that is up."""
    with tempfile.TemporaryDirectory() as folder:
        return [full_run(stack, Path(folder)), help_page()]


def help_page() -> Figure:
    """The whole process, `--help` at the end."""
    reference = [sys.executable, "-c", _BARE]
    ours = [sys.executable, "-m", "talos_gpu", "--help"]
    rounds = side_by_side(_of(reference), _of(ours), 25)
    return Figure.of("doctor: talos-gpu --help", "a one-command typer app", rounds, 1.3)


def full_run(stack: Stack, folder: Path) -> Figure:
    """Gathering and diagnosing, from the first connection on; imports and the stack's file are read before."""
    with _delayed(stack, folder) as config:
        settings = stack_settings(config)
        slowest, whole = list[float](), list[float]()
        for _ in range(ROUNDS):
            loaded.cache_clear()
            seconds: dict[str, float] = {}
            began = time.perf_counter()
            bundle = asyncio.run(gather(stack.name, settings, seconds=seconds))
            diagnosis = diagnose(bundle)
            whole.append(time.perf_counter() - began)
            slowest.append(max(seconds.values()))
            if diagnosis.findings or diagnosis.not_run:
                raise RuntimeError(f"the lab is not healthy: {diagnosis}")
    rounds = Rounds(tuple(slowest), tuple(whole), By.MEDIAN)
    return Figure.of("doctor: a full run, 100 ms on every call", "its own slowest call", rounds, 2.0)


def _of(command: list[str]) -> Callable[[], object]:
    return lambda: subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL, check=True)


@contextmanager
def _delayed(stack: Stack, folder: Path) -> Iterator[Path]:
    """The stack's file with the relay's addresses."""
    words = [folder, stack.lab.paths.talosconfig, stack.node.endpoint, stack.lab.paths.kubeconfig, DELAY]
    command = [sys.executable, "-m", "bench.delayed", *map(str, words)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as relay:
        port = relay.stdout.readline().strip() if relay.stdout else ""
        document = yaml.safe_load(stack.config.read_text())
        config = document["config"]
        config["talos-nvidia-cdi:node"] |= {"address": "127.0.0.1", "endpoint": f"127.0.0.1:{port}"}
        for name in ("talosconfig", "kubeconfig"):
            config[f"talos-nvidia-cdi:{name}"] = str(folder / name)
        path = folder / stack.config.name
        path.write_text(yaml.safe_dump(document))
        yield path
