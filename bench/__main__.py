"""`make bench`: every figure as a table, machine facts beside it; `python -m bench AREA...` for some of them."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.figure import Amount, Figure, Note
from lab import toolchain
from lab.lab import Lab
from lab.paths import cache_root
from lab.stack import Stack
from lab.up import prepare_machine

Row = Figure | Amount | Note
ALONE = ("cdi", "machine", "rollout", "preview")
"""Areas whose `measure()` needs no lab."""
ON_THE_LAB = ("program", "verify", "doctor")
"""Areas whose `measure(stack)` needs a lab that is up."""
AREAS = ("lab", *ALONE, *ON_THE_LAB)


def rows(areas: Sequence[str]) -> Iterator[Row]:
    """The figures of the areas, in order; the lab is brought up once and ended."""
    for area in ALONE:
        if area in areas:
            yield from importlib.import_module(f"bench.{area}").measure()
    wanted = [area for area in ON_THE_LAB if area in areas]
    if not wanted and "lab" not in areas:
        return
    prepare_machine(lambda line: print(line, file=sys.stderr))
    lab = Lab("bench", toolchain.folder())
    with lab.locked():
        lab.down()
    try:
        yield from importlib.import_module("bench.lab").measure(lab)
        for area in wanted:
            yield from importlib.import_module(f"bench.{area}").measure(Stack(lab, lab.node()))
    finally:
        lab.down()


def facts() -> dict[str, str]:
    """What the figures were measured on."""
    models = [line.split(":")[1] for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line]
    memory = Path("/proc/meminfo").read_text().splitlines()[0].split()[1]
    return {
        "cpu": f"{len(os.sched_getaffinity(0))} x {(models or ['unknown'])[0].strip()}",
        "memory": f"{int(memory) / 1024**2:.0f} GiB",
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load before": " ".join(f"{load:.1f}" for load in os.getloadavg()),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def table(found: Sequence[Row]) -> Table:
    """The figures for a person."""
    shown = Table("figure", "reference", "ours", "ratio", "bar", "", title="Speed and size", title_justify="left")
    for row in found:
        match row:
            case Figure():
                kept = "" if row.bar is None else "within" if row.within else "OVER"
                bar = "" if row.bar is None else f"{row.bar:g}"
                reference = f"{_seconds(row.reference_s)}, {row.reference}"
                shown.add_row(row.name, reference, _seconds(row.ours_s), f"{row.ratio:.2f}", bar, kept)
            case Amount():
                kept = "" if row.bar is None else "within" if row.within else "OVER"
                bar = "" if row.bar is None else f"{row.bar:g} {row.unit}"
                shown.add_row(row.name, row.where, f"{row.value:.1f} {row.unit}", "", bar, kept)
            case Note():
                shown.add_row(row.name, row.text, "", "", "", "", style="dim")
    return shown


def _seconds(value: float) -> str:
    return f"{value:.2f} s" if value >= 1 else f"{value * 1e3:.2f} ms"


def main() -> int:
    """Measure, print, keep; 1 where a bar does not hold."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("area", nargs="*", help=f"of {', '.join(AREAS)}; all unless named")
    areas = parser.parse_args().area or list(AREAS)
    if unknown := sorted({*areas} - {*AREAS}):
        parser.error(f"{', '.join(unknown)}: none of {', '.join(AREAS)}")
    machine, found = facts(), list(rows(areas))
    console = Console()
    console.print(table(found))
    console.print(", ".join(f"{key} {value}" for key, value in machine.items()), markup=False)
    kept = cache_root() / "bench" / f"{machine['at'].replace(':', '')}.json"
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_text(json.dumps({"machine": machine, "figures": [asdict(row) for row in found]}, indent=1))
    console.print(f"kept: {kept}", markup=False)
    return int(any(not row.within for row in found if not isinstance(row, Note)))


if __name__ == "__main__":
    sys.exit(main())
