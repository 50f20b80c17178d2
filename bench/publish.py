"""docs/benchmarks.md and its plots, made from bench/history alone: `python -m bench.publish`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from bench.history import PUBLISHED, Run, newest, runs
from bench.page import page
from bench.plots import plots
from lab.paths import PROJECT

DOCS = PROJECT / "docs"


def files(found: Sequence[Run]) -> dict[str, str]:
    """Every file below docs that the runs make, by its path there."""
    areas = newest(found)
    drawn = {f"plots/{name}.svg": svg for name, svg in plots(areas).items()}
    return {"benchmarks.md": page(areas, found), **drawn}


def publish(history: Path = PUBLISHED, docs: Path = DOCS) -> list[Path]:
    """Write them; returns their paths."""
    written = []
    for name, text in files(runs(history)).items():
        path = docs / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        written.append(path)
    return written


if __name__ == "__main__":
    for made in publish():
        print(made, file=sys.stdout)
