"""The suite itself: areas in order, one that fails does not cost the others their figures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import pytest

from bench.__main__ import Session
from bench.areas import AREAS, BY_NAME, Area, Needs, run
from bench.figure import Amount, Note, Row
from bench.machine_facts import facts


def test_every_area_has_a_module_that_measures() -> None:
    for area in AREAS:
        assert callable(area.measure), area.name
        module = __import__(f"bench.{area.name}", fromlist=["measure"])
        assert callable(module.measure), area.name


def test_areas_that_need_no_lab_are_measured_in_the_order_of_the_table() -> None:
    asked: list[str] = []

    def measured(area: Area, work: Callable[[], Iterable[Row]]) -> None:
        assert callable(work)
        asked.append(area.name)

    run(["rollout", "cdi"], measured)
    assert asked == ["cdi", "rollout"]
    assert BY_NAME["cdi"].needs is Needs.NOTHING


def test_an_area_that_fails_is_said_and_the_others_stand(capsys: pytest.CaptureFixture[str]) -> None:
    def fails() -> Iterator[Row]:
        yield Note("a", "b")
        raise ZeroDivisionError("half way")

    session = Session()
    session.take(BY_NAME["cdi"], fails)
    session.take(BY_NAME["doctor"], lambda: [Amount("slow", 2.0, "s", 1.0), Amount("fast", 0.5, "s", 1.0)])
    assert session.failed == ["cdi"]
    assert [measured.area for measured in session.measured] == ["doctor"]
    assert session.over() == ["slow"]
    assert "half way" in capsys.readouterr().err


def test_what_figures_are_measured_on_is_told_whole() -> None:
    told = facts()
    assert list(told) == ["cpu", "cores", "memory", "kernel", "python", "load before", "commit", "at"]
    assert all(told.values()), told
    assert int(told["cores"]) >= 1
    assert len(told["load before"].split()) == 3
