"""CDI: against PyYAML's C loader and dumper alone, against itself on a small spec, against the official Go library."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from bench.figure import Figure
from bench.rounds import Rounds
from bench.timing import in_turns, side_by_side
from talos_gpu.cdi import Library, Strategy, faults, patch
from talos_gpu.cli.cdi_files import write
from tests.cdi.many_hooks import many_hooks
from tests.cdi.oracle_client import Oracle, build

ROOT = Path(__file__).parents[1]
REAL = ROOT / "tests/fixtures/cdi/p2000-535/toolkit-1.17.8.yaml"
NEWEST = ROOT / "tests/fixtures/cdi/h100-580/toolkit-1.20.0.yaml"
SMALL, LARGE = 100, 10_000
_LOADER: Any = yaml.CSafeLoader
_DUMPER: Any = yaml.CSafeDumper
_REFERENCE = "PyYAML's C loader and dumper alone"


def measure() -> list[Figure]:
    """Every figure of the CDI library and its command; about a minute."""
    with tempfile.TemporaryDirectory() as folder:
        return [*_library(Path(folder)), _scaling(), _process(), *_validation(Path(folder))]


def _dumped(text: str) -> str:
    dumped: str = yaml.dump(yaml.load(text, Loader=_LOADER), Dumper=_DUMPER)  # noqa: S506 - a safe loader
    return dumped


def _library(folder: Path) -> Iterator[Figure]:
    for path in (REAL, NEWEST):
        text, target = path.read_text(), str(folder / path.name)

        def ours(text: str = text, target: str = target) -> None:
            write(target, patch(text, Strategy.REAL).text.encode())

        def reference(text: str = text) -> None:
            _dumped(text)

        rounds = side_by_side(reference, ours, 200)
        yield Figure.of(f"cdi: parse, validate, patch, write {path.parent.name}/{path.stem}", _REFERENCE, rounds, 1.5)


def _scaling() -> Figure:
    small, large = many_hooks(SMALL), many_hooks(LARGE)
    # as many hooks on both sides: on a busy machine the longer of two runs is interrupted more often
    times = LARGE // SMALL
    rounds = side_by_side(
        lambda: [patch(small, Strategy.REAL) for _ in range(times)], lambda: patch(large, Strategy.REAL), 7
    )
    name = f"cdi: a hook of a spec with {LARGE:,}"
    return Figure.of(name, f"a hook of one with {SMALL}", rounds.per(LARGE), 1.2)


def _process() -> Figure:
    work = f"import typer, yaml; yaml.dump(yaml.load(open({str(REAL)!r}), yaml.CSafeLoader), Dumper=yaml.CSafeDumper)"
    reference = [sys.executable, "-c", work]
    ours = [sys.executable, "-m", "talos_gpu", "cdi", "patch", str(REAL)]
    rounds = side_by_side(lambda: _run(reference), lambda: _run(ours), 25)
    return Figure.of("cdi: talos-gpu cdi patch, the process", "python with typer, yaml and the same", rounds, 1.3)


def _run(command: list[str]) -> None:
    subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL, check=True)


def _validation(folder: Path) -> Iterator[Figure]:
    library = Library.V1_1_0
    with Oracle(build(folder, library), folder, library) as oracle:
        for path in (REAL, NEWEST):
            text = path.read_text()
            theirs = tuple(oracle.seconds(path, 50) for _ in range(5))
            [ours] = in_turns([lambda text=text: faults(text, library=library)], 100)  # type: ignore[misc]
            name = f"cdi: validate {path.parent.name}/{path.stem}"
            yield Figure.of(name, f"the official Go library {library}", Rounds(theirs, tuple(ours)), None)
