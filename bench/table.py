"""Figures as a table for a person at a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rich.table import Table

from bench.figure import Amount, Beside, Figure, Note, Row, Steps
from bench.words import cells, counted, quantity

_COLUMNS = ("figure", "reference", "ours", "ratio", "before", "bar", "")
Key = tuple[str, str]
"""A figure's name, and beside what it is: two figures may differ in that alone."""


def told_before(rows: Iterable[Row]) -> dict[Key, str]:
    """What an earlier run said in one word: the ratio, or ours where there is none."""
    found = {}
    for row in rows:
        if isinstance(row, Figure | Amount | Beside):
            shown = cells(row)
            found[_key(row)] = shown.ratio or shown.ours
    return found


def table(rows: Iterable[Row], before: Mapping[Key, str]) -> Table:
    """A line for each row, with what an earlier run said; of a person's steps their number and their seconds."""
    shown = Table(*_COLUMNS, title="Speed and size", title_justify="left")
    for row in rows:
        match row:
            case Note():
                shown.add_row(row.name, row.text, style="dim")
            case Steps():
                seconds = quantity(sum(step.seconds for step in row.steps), "s")
                shown.add_row(row.name, f"{counted(len(row.steps), 'step')}, {seconds}", style="dim")
            case _:
                found = cells(row)
                style = "bold red" if found.verdict == "OVER" else None
                shown.add_row(*found[:4], before.get(_key(row), ""), *found[4:], style=style)
    return shown


def _key(row: Figure | Amount | Beside) -> Key:
    return row.name, "" if isinstance(row, Amount) else row.reference
