"""`make bench`: every figure as a table, machine facts beside it; `python -m bench AREA...` for some of them.

Every run is kept as JSON in the cache folder. `--publish` also puts it into bench/history and makes docs/benchmarks.md
and its plots anew, each area from the newest run that has it: the numbers of the documentation are never typed.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Sequence

from rich.console import Console

from bench import history
from bench.areas import AREAS, Area, run
from bench.figure import Amount, Figure, Row
from bench.history import Measured, Run
from bench.machine_facts import facts
from bench.publish import publish
from bench.table import table, told_before
from lab.paths import cache_root, compiling_once


class Session:
    """What was measured so far; an area that fails is said and the others go on."""

    def __init__(self) -> None:
        self.measured: list[Measured] = []
        self.failed: list[str] = []

    def take(self, area: Area, work: Callable[[], Iterable[Row]]) -> None:
        """Measure one area."""
        print(f"==> {area.title}", file=sys.stderr)
        load, began = os.getloadavg()[0], time.monotonic()
        try:
            rows = tuple(work())
        except (Exception, SystemExit):  # whatever it is, the figures of the others stand
            traceback.print_exc()
            self.failed.append(area.name)
        else:
            self.measured.append(Measured(area.name, load, time.monotonic() - began, rows))

    def over(self) -> list[str]:
        """The names of the figures whose bars do not hold."""
        return [row.name for row in rows_of(self.measured) if isinstance(row, Figure | Amount) and not row.within]


def rows_of(areas: Iterable[Measured]) -> list[Row]:
    """The rows of all areas."""
    return [row for area in areas for row in area.rows]


def measured(areas: Sequence[str]) -> tuple[Run, Session]:
    """Measure the areas and keep the run in the cache folder."""
    machine, session = facts(), Session()
    run(areas, session.take)
    return Run(machine, tuple(session.measured)), session


def main() -> int:
    """Measure, print, keep; 1 where a bar does not hold or an area could not be measured."""
    names = [area.name for area in AREAS]
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("area", nargs="*", help=f"of {', '.join(names)}; all unless named")
    parser.add_argument("--publish", action="store_true", help="put the run into the documentation")
    words = parser.parse_args()
    given = compiling_once(os.environ)
    os.environ.clear()
    os.environ.update(given)  # a program that is compiled anew at each start is not what its user runs
    if unknown := sorted({*words.area} - {*names}):
        parser.error(f"{', '.join(unknown)}: none of {', '.join(names)}")
    kept = cache_root() / "bench" / "runs"
    before = told_before(rows_of(area for _, area in history.newest(history.runs(kept)).values()))
    result, session = measured(words.area or names)
    console = Console(width=None if sys.stdout.isatty() else 160)
    console.print(table(rows_of(result.areas), before))
    console.print(", ".join(f"{key} {value}" for key, value in result.machine.items()), markup=False)
    console.print(f"kept: {history.save(result, kept)}", markup=False)
    for name in session.over():
        console.print(f"OVER its bar: {name}", markup=False, style="bold red")
    for name in session.failed:
        console.print(f"could not be measured: {name}; why is above", markup=False, style="bold red")
    if words.publish and result.areas:
        console.print(f"published: {history.save(result, history.PUBLISHED)}", markup=False)
        for path in publish():
            console.print(f"made: {path}", markup=False)
    return int(bool(session.over() or session.failed))


if __name__ == "__main__":
    sys.exit(main())
