from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.areas import AREAS
from bench.figure import Amount, Beside, Figure, Note, Row, Steps
from bench.history import PUBLISHED, HistoryUnreadable, Measured, Run, dumps, loads, newest, runs, save
from bench.rounds import By, Rounds
from bench.steps import Act, Step
from tests.bench.samples import MACHINE, sample_run

FINITE = st.floats(0, 1e6)
TIMES = st.lists(FINITE, min_size=1, max_size=5).map(tuple)
ROUNDS = st.none() | st.builds(Rounds, TIMES, TIMES, st.sampled_from(By))
STEP = st.builds(Step, st.sampled_from(Act), st.text(), FINITE, st.booleans())
ROW: st.SearchStrategy[Row] = st.one_of(
    st.builds(Figure, st.text(), st.text(), FINITE, FINITE, st.none() | FINITE, ROUNDS),
    st.builds(Amount, st.text(), FINITE, st.text(), st.none() | FINITE, st.text()),
    st.builds(Beside, st.text(), st.text(), st.none() | FINITE, st.none() | FINITE, st.text(), st.text(), ROUNDS),
    st.builds(Steps, st.text(), st.lists(STEP).map(tuple)),
    st.builds(Note, st.text(), st.text()),
)
MEASURED = st.builds(Measured, st.sampled_from([area.name for area in AREAS]), FINITE, FINITE, st.lists(ROW).map(tuple))


@given(st.lists(MEASURED, max_size=4).map(tuple))
def test_what_was_written_is_read_back_equal(areas: tuple[Measured, ...]) -> None:
    run = Run(MACHINE, areas)
    assert loads(dumps(run)) == run


def test_each_row_has_a_line_of_its_own() -> None:
    rows = [row for area in sample_run().areas for row in area.rows]
    assert len([line for line in dumps(sample_run()).splitlines() if line.startswith('  {"')]) == len(rows)


def test_a_saved_run_is_found_again_by_its_time(tmp_path: Path) -> None:
    later, sooner = sample_run(at="2027-01-16T00:00:00+00:00"), sample_run()
    assert save(later, tmp_path).name == "2027-01-16T000000.json"
    save(sooner, tmp_path)
    assert runs(tmp_path) == [sooner, later]


def test_each_area_is_of_the_newest_run_that_has_it() -> None:
    whole = sample_run()
    part = Run(MACHINE | {"at": "2027-02-01T00:00:00+00:00"}, whole.areas[:1])
    older = Run(MACHINE | {"at": "2026-01-01T00:00:00+00:00"}, whole.areas[1:])
    found = newest([part, whole, older])
    assert {name: run.at[:7] for name, (run, _) in found.items()} == {"cdi": "2027-02", "seed_way": "2027-01"}
    assert newest([]) == {}


def spoilt(**changes: Any) -> str:
    document = json.loads(dumps(sample_run()))
    return json.dumps({**document, **changes})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "all of it: Invalid JSON"),
        ("[]", "all of it: Input should be"),
        (spoilt(format=2), "format: Input should be 1"),
        (spoilt(more=1), "more: Unexpected keyword argument"),
        (spoilt(machine={}), "machine.at: missing"),
        (spoilt(machine={"at": 5}, areas=7), "machine.at: Input should be a valid string; areas: Input should be"),
        (
            spoilt(areas=[{"area": "cdi", "load_before": 0, "seconds": 1, "rows": [{"kind": "guess"}]}]),
            "areas.0.rows.0: Input tag 'guess'",
        ),
        (
            spoilt(areas=[{"area": "of another time", "load_before": 0, "seconds": 1, "rows": []}]),
            "no area is called 'of another time'",
        ),
    ],
)
def test_what_is_no_run_is_refused_with_every_fault(text: str, said: str) -> None:
    with pytest.raises(HistoryUnreadable) as refused:
        loads(text, "some.json")
    assert str(refused.value).startswith("some.json: no run of the bench: ")
    assert said in str(refused.value)
    assert str(refused.value).endswith("Delete it and measure anew")


def test_every_published_run_can_be_read() -> None:
    assert runs(PUBLISHED), "there is no published run"
