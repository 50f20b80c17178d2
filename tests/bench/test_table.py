"""What a person reads, whole."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from bench.figure import Amount, Figure, Note
from bench.rounds import By
from bench.table import table, told_before
from bench.words import quantity, with_spread
from tests.bench.samples import cdi_rows

BEFORE = (
    Figure("cdi: parse | patch", "PyYAML alone", 0.008, 0.01, 1.5),
    Figure("cdi: validate", "another library", 1.0, 1.0, None),
    Amount("lab: memory", 700.0, "MiB PSS", 1024.0),
    Note("cdi: a preview", "no figure"),
)


@pytest.mark.parametrize(
    ("value", "unit", "wanted"),
    [
        (0.0000123, "s", "12 µs"),
        (0.000297, "s", "297 µs"),
        (0.00123, "s", "1.23 ms"),
        (0.0123, "s", "12.3 ms"),
        (0.123, "s", "123 ms"),
        (1.234, "s", "1.23 s"),
        (62.51, "s", "62.5 s"),
        (151.4, "s", "151 s"),
        (0.0, "s", "0 s"),
        (None, "s", "never"),
        (12, "steps", "12 steps"),
        (678.4, "MiB PSS", "678 MiB PSS"),
        (-0.5, "s", "-500 ms"),
    ],
)
def test_a_quantity_has_its_unit_and_no_more_places_than_it_is_worth(
    value: float | None, unit: str, wanted: str
) -> None:
    assert quantity(value, unit) == wanted


def test_a_shortest_time_has_the_median_beside_it() -> None:
    assert with_spread(1.0, "s", (1.0, 2.0, 3.0), By.SHORTEST) == "1.00 s (median 2.00 s ± 25 %)"
    assert with_spread(2.0, "s", (1.0, 2.0, 3.0), By.MEDIAN) == "2.00 s ± 25 %"
    assert with_spread(1.0, "s", (1.0,), By.SHORTEST) == "1.00 s"
    assert with_spread(None, "s", (), None) == "never"


def test_the_table() -> None:
    console = Console(width=150, record=True, file=io.StringIO())
    console.print(table(cdi_rows(), told_before(BEFORE)))
    theirs, ours = "10.0 ms (median 11.0 ms ± 9 %)", "12.0 ms (median 12.0 ms ± 8 %)"
    lines = [line.rstrip() for line in console.export_text().splitlines()]
    assert [[cell.strip() for cell in line.split("│")[1:-1]] for line in lines if line.startswith("│")] == [
        ["cdi: parse | patch", f"{theirs}, PyYAML alone", ours, "1.20", "1.25", "1.5", "within"],
        ["cdi: a preview", "2.00 s ± 25 %, the engine's", "5.00 s ± 10 %", "2.50", "", "1.1", "OVER"],
        ["cdi: validate", "1.00 ms, the Go library", "2.50 ms", "2.50", "", "", ""],
        ["lab: memory", "most of it: etcd", "678 MiB PSS", "", "700 MiB PSS", "1024 MiB PSS", "within"],
        ["lab: too slow", "", "91.0 s", "", "", "90 s", "OVER"],
        ["seed: never | ever", "never, by hand", "8.00 s", "", "", "", ""],
        ["cdi: a note", "unknown <command>", "", "", "", "", ""],
        ["cdi: by hand", "3 steps, 60.2 s", "", "", "", "", ""],
    ]  # fmt: skip
