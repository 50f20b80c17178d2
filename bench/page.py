"""The page of figures in the documentation, as Markdown, from published runs alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from bench.areas import BY_NAME
from bench.figure import Amount, Beside, Figure, Note, Steps
from bench.history import Measured, Run
from bench.words import Cells, cells, counted, quantity, ratio, sides, with_spread

_HEAD = """\
# Benchmarks

<!-- Made by `python -m bench.publish` from bench/history; a test compares. Change nothing here by hand. -->

What the parts cost, each beside a named reference that does no less work than it must, in one run on one machine:
a busy machine slows both. `make bench` measures all of it and ends with an error where a bar does not hold;
`python -m bench AREA` measures one area, `--publish` puts the run into this page. A bar is the most that is allowed,
set before the part was built.

How to read the tables:

- two sides of a figure take turns; the compared time is the shortest where other processes can only lengthen it, the
  median otherwise;
- `±` is half of the interquartile range, as percent of the median;
- where something is pretended (the GPU, Talos: the lab's README says which), the time of the pretended part is the
  CPU's, on both sides alike; a speed of the pretended GPU is never one of hardware.
"""
_LINKS = {"bars": "How much of its bar each figure uses"}
_PLOTS = {
    "seed-way-time": "Seconds from a bare node to an encoding worker, by hand and with this project",
    "seed-way-broken": "Seconds for which the GPU is broken after a reboot and after a driver upgrade",
}


def page(areas: Mapping[str, tuple[Run, Measured]], found: Sequence[Run]) -> str:
    """The page's text."""
    lines = [_HEAD, *_image("bars", _LINKS["bars"])]
    first = [name for name in ("seed_way",) if name in areas]
    for name in [*first, *(name for name in areas if name not in first)]:
        lines += _area(name, *areas[name])
    lines += _machines(areas, found)
    return "\n".join(lines).rstrip() + "\n"


def _area(name: str, run: Run, measured: Measured) -> Iterator[str]:
    area = BY_NAME[name]
    yield from (f"## {area.title}", "", area.about, "")
    if name == "seed_way":
        for plot, what in _PLOTS.items():
            yield from _image(plot, what)
    figures = [cells(row) for row in measured.rows if isinstance(row, Figure | Amount)]
    beside = [row for row in measured.rows if isinstance(row, Beside)]
    if figures:
        yield from _table(["Figure", "Reference", "Ours", "Ratio", "Bar", ""], list(map(_named, figures)))
    yield from _besides(beside)
    yield from _quicker(beside)
    notes = [row for row in measured.rows if isinstance(row, Note)]
    yield from (f"- {_without_area(note.name)}: {_code(note.text)}" for note in notes)
    yield from [""] if notes else []
    for row in measured.rows:
        if isinstance(row, Steps):
            yield from _steps(row)
    load = f"load {measured.load_before:.1f} before"
    if measured.load_before > float(run.machine.get("cores", "1")) / 2:
        load += ", so on a **busy machine**: the ratios are worth more than the times"
    yield from (f"Measured {run.at[:10]} at commit `{run.machine.get('commit', 'unknown')}`, {load}.", "")


def _besides(rows: Sequence[Beside]) -> Iterator[str]:
    """A table of two ways for each that ours is beside."""
    for reference in dict.fromkeys(row.reference for row in rows):
        body = []
        for row in rows:
            if row.reference == reference:
                theirs, ours = (with_spread(*side) for side in sides(row))
                body.append((_without_area(row.name), theirs, ours, ratio(row.ratio), row.why))
        yield from _table(["Figure", reference.capitalize(), "This project", "Ratio", "What it says"], body)


def _quicker(rows: Sequence[Beside]) -> Iterator[str]:
    """Where the other way is the better one, it is said."""
    found = {row.name: row for row in rows if row.ratio is not None and row.ratio > 1}
    if not found:
        return
    said = "; ".join(
        f"{_without_area(row.name)} ({quantity(row.theirs, row.unit)} against {quantity(row.ours, row.unit)})"
        for row in found.values()
    )
    yield from (f"**Less {rows[0].reference} than with this project**: {said}.", "")


def _steps(row: Steps) -> Iterator[str]:
    repairs = sum(step.repair for step in row.steps)
    repaired = f", {counted(repairs, 'repair')} among them" if repairs else ""
    total = quantity(sum(step.seconds for step in row.steps), "s")
    yield from (
        f"### {_without_area(row.name).capitalize()}",
        "",
        f"{counted(len(row.steps), 'step')}{repaired}, {total}.",
        "",
    )
    body = [
        (str(number), step.act.value, _code(step.what), quantity(step.seconds, "s"), "repair" if step.repair else "")
        for number, step in enumerate(row.steps, 1)
    ]
    yield from _table(["", "Kind", "Step", "Time", ""], body)


def _machines(areas: Mapping[str, tuple[Run, Measured]], found: Sequence[Run]) -> Iterator[str]:
    """What each run was measured on, those alone whose figures are above."""
    used = {run.at: run for run, _ in areas.values()}
    yield from ("## Measured on", "")
    keys = ["at", "commit", "cpu", "cores", "memory", "kernel", "python", "load before"]
    body = [[run.machine.get(key, "unknown") for key in keys] for _, run in sorted(used.items())]
    yield from _table([key.capitalize() if key != "cpu" else "CPU" for key in keys], body)
    yield f"{counted(len(found), 'run')} in `bench/history`; every figure above is its area's newest."


def _table(head: Sequence[str], body: Sequence[Sequence[str] | Cells]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    yield from (f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in body)
    yield ""


def _image(name: str, what: str) -> tuple[str, str]:
    return f"![{what}](plots/{name}.svg)", ""


def _named(row: Cells) -> Cells:
    return row._replace(name=_without_area(row.name))


def _without_area(name: str) -> str:
    return name.partition(": ")[2] or name


def _code(text: str) -> str:
    """Words of programs, kept from being read as Markdown."""
    return f"`{text}`" if any(letter in text for letter in "<>_*[]") else text
