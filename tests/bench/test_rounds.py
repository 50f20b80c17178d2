from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.figure import Amount, Beside, Figure
from bench.rounds import By, Rounds, spread
from bench.timing import by_clocks, in_turns, side_by_side

TIMES = st.lists(st.floats(1e-6, 1e3), min_size=1, max_size=30)


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        ([1.0], 0.0),
        ([2.0, 2.0, 2.0], 0.0),
        ([1.0, 2.0, 3.0], 0.25),
        ([1.0, 2.0, 3.0, 4.0], 0.3),
        ([9.0, 10.0, 10.0, 10.0, 50.0], 0.0),
        ([0.0, 0.0], 0.0),
    ],
)
def test_spread_is_half_the_interquartile_range_over_the_median(values: list[float], wanted: float) -> None:
    assert spread(values) == pytest.approx(wanted)


@given(TIMES, st.floats(0.1, 10))
def test_spread_knows_neither_order_nor_unit(values: list[float], factor: float) -> None:
    assert spread(sorted(values)) == spread(values)
    assert spread([value * factor for value in values]) == pytest.approx(spread(values), rel=1e-6, abs=1e-9)


def test_what_is_compared_is_the_shortest_or_the_median() -> None:
    rounds = Rounds((3.0, 1.0, 2.0), (6.0, 5.0, 1.5))
    shortest = Figure.of("a", "b", rounds, 1.5)
    assert (shortest.reference_s, shortest.ours_s, shortest.ratio, shortest.within) == (1.0, 1.5, 1.5, True)
    median = Figure.of("a", "b", Rounds(rounds.reference, rounds.ours, By.MEDIAN), 2.4)
    assert (median.reference_s, median.ours_s, median.ratio, median.within) == (2.0, 5.0, 2.5, False)


def test_work_done_many_times_a_round_is_told_for_one() -> None:
    assert Rounds((10.0, 20.0), (5.0,), By.MEDIAN).per(10) == Rounds((1.0, 2.0), (0.5,), By.MEDIAN)


def test_a_bar_is_the_most_that_is_allowed() -> None:
    assert [Amount("a", value, "s", 1.0).within for value in (0.9, 1.0, 1.1)] == [True, True, False]
    assert Amount("a", 1e9, "s", None).within
    assert Figure("a", "b", 1.0, 1e9, None).within


@pytest.mark.parametrize(
    ("theirs", "ours", "ratio"),
    [(2.0, 1.0, 0.5), (None, 1.0, None), (1.0, None, None), (0.0, 1.0, None), (2.0, 0.0, 0)],
)
def test_a_ratio_is_there_only_where_both_sides_are(
    theirs: float | None, ours: float | None, ratio: float | None
) -> None:
    assert Beside("a", "b", theirs, ours, "s").ratio == ratio


def test_works_take_turns_and_the_first_of_each_is_not_counted() -> None:
    calls: list[str] = []
    taken = in_turns([lambda: calls.append("a"), lambda: calls.append("b")], 3)
    assert "".join(calls) == "ab" + "ababab"
    assert [len(times) for times in taken] == [3, 3]


def test_every_clock_is_read_around_the_same_work() -> None:
    now = {"wall": 0.0, "cpu": 0.0}

    def work(wall: float, cpu: float) -> None:
        now["wall"] += wall
        now["cpu"] += cpu

    taken = by_clocks([lambda: work(2, 1), lambda: work(6, 5)], 2, [lambda: now["wall"], lambda: now["cpu"]])
    assert taken == [[[2, 2], [6, 6]], [[1, 1], [5, 5]]]


def test_both_sides_are_timed() -> None:
    rounds = side_by_side(lambda: None, lambda: None, 4, By.MEDIAN)
    assert (len(rounds.reference), len(rounds.ours), rounds.by) == (4, 4, By.MEDIAN)
    assert min(*rounds.reference, *rounds.ours) >= 0
