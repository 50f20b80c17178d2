"""Figures in words and numbers, the same in the table and on the page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from bench.figure import Amount, Beside, Figure
from bench.rounds import By, spread


class Cells(NamedTuple):
    """One row of the table, as text."""

    name: str
    reference: str
    ours: str
    ratio: str
    bar: str
    verdict: str


def cells(row: Figure | Amount | Beside) -> Cells:
    """The row as text."""
    match row:
        case Figure():
            theirs, ours = (with_spread(*side) for side in sides(row))
            bar = "" if row.bar is None else f"{row.bar:g}"
            return Cells(row.name, f"{theirs}, {row.reference}", ours, ratio(row.ratio), bar, _verdict(row))
        case Amount():
            bar = "" if row.bar is None else f"{row.bar:g} {row.unit}"
            return Cells(row.name, row.where, quantity(row.value, row.unit), "", bar, _verdict(row))
        case Beside():
            theirs, ours = (with_spread(*side) for side in sides(row))
            reference = f"{theirs}, {row.reference}" + (f" ({row.why})" if row.why else "")
            return Cells(row.name, reference, ours, ratio(row.ratio), "", "")


def quantity(value: float | None, unit: str) -> str:
    """A value with its unit, to a sensible place: `13.1 ms`, `1.20 s`, `62.5 s`, `12 steps`, `never`."""
    if value is None:
        return "never"
    if unit == "s" and 0 < abs(value) < 1e-3:
        return f"{value * 1e6:.0f} µs"
    if unit == "s" and 0 < abs(value) < 1:
        return f"{value * 1e3:.{0 if abs(value) >= 0.1 else 1 if abs(value) >= 0.01 else 2}f} ms"
    if unit == "steps":
        return counted(round(value), "step")
    if value == 0:
        return f"0 {unit}"
    return f"{value:.{2 if abs(value) < 10 else 1 if abs(value) < 100 else 0}f} {unit}"


def ratio(value: float | None) -> str:
    """Ours over theirs, to a sensible place; empty where there is none."""
    return "" if value is None else f"{value:.{2 if value < 10 else 0}f}"


def counted(number: int, what: str) -> str:
    """`1 step`, `2 steps`."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def with_spread(value: float | None, unit: str, rounds: Sequence[float], by: By | None) -> str:
    """A value and the spread of the rounds that it is of; a shortest time has their median beside it."""
    shown = quantity(value, unit)
    if value is None or by is None or len(rounds) < 2:
        return shown
    percent = f"± {spread(rounds) * 100:.0f} %"
    if by is By.MEDIAN:
        return f"{shown} {percent}"
    return f"{shown} (median {quantity(By.MEDIAN.of(rounds), unit)} {percent})"


Side = tuple[float | None, str, Sequence[float], By | None]
"""What with_spread takes."""


def sides(row: Figure | Beside) -> tuple[Side, Side]:
    """The reference's side and ours."""
    theirs, ours = (row.reference_s, row.ours_s) if isinstance(row, Figure) else (row.theirs, row.ours)
    unit, rounds = ("s" if isinstance(row, Figure) else row.unit), row.rounds
    if rounds is None:
        return (theirs, unit, (), None), (ours, unit, (), None)
    return (theirs, unit, rounds.reference, rounds.by), (ours, unit, rounds.ours, rounds.by)


def _verdict(row: Figure | Amount) -> str:
    return "" if row.bar is None else "within" if row.within else "OVER"
