"""When stacks may be started: over midnight, in time zones, over a change of clocks."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from talos_gpu.rollout.model import Window
from talos_gpu.rollout.windows import is_open, next_opening

BERLIN = ZoneInfo("Europe/Berlin")
NIGHT = Window(opens="22:00", closes="04:00", timezone="Europe/Berlin", days=("fri",))


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN).timestamp()


def test_without_windows_it_is_always_open() -> None:
    assert is_open((), at("2026-11-27T12:00"))
    assert next_opening((), at("2026-11-27T12:00")) is None


def test_a_window_over_midnight_is_of_the_day_on_which_it_opens() -> None:
    friday = "2026-11-27"
    assert not is_open((NIGHT,), at(f"{friday}T21:59"))
    assert is_open((NIGHT,), at(f"{friday}T22:00"))
    assert is_open((NIGHT,), at("2026-11-28T03:59"))
    assert not is_open((NIGHT,), at("2026-11-28T04:00"))
    assert not is_open((NIGHT,), at("2026-11-28T22:30"))
    assert next_opening((NIGHT,), at("2026-11-28T04:00")) == at("2026-12-04T22:00")


def test_local_times_hold_over_a_change_of_clocks() -> None:
    day = Window(opens="08:00", closes="09:00", timezone="Europe/Berlin")
    for date in ("2026-03-28", "2026-03-29", "2026-10-24", "2026-10-25"):
        assert is_open((day,), at(f"{date}T08:30"))
        assert not is_open((day,), at(f"{date}T07:30"))


def test_a_window_that_opens_when_it_closes_is_a_whole_day() -> None:
    whole = Window(opens="06:00", closes="06:00", days=("mon",))
    monday = datetime(2026, 11, 30, 6, tzinfo=ZoneInfo("UTC")).timestamp()
    assert [is_open((whole,), monday + hours * 3600) for hours in (-1, 0, 23, 24)] == [False, True, True, False]


TIMES = st.times().map(lambda time: time.strftime("%H:%M"))
DAYS = st.lists(st.sampled_from(["mon", "tue", "wed", "thu", "fri", "sat", "sun"]), min_size=1, max_size=3).map(tuple)
WINDOWS = st.builds(
    Window, opens=TIMES, closes=TIMES, days=DAYS, timezone=st.sampled_from(["UTC", "Europe/Berlin", "Asia/Kolkata"])
)


@given(windows=st.lists(WINDOWS, min_size=1, max_size=3), now=st.floats(1.6e9, 2.2e9))
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a busy machine is no fault
def test_whoever_waits_for_the_next_opening_finds_it_open(windows: list[Window], now: float) -> None:
    opens = next_opening(windows, now)
    assert opens is not None
    assert now < opens <= now + 9 * 86400
    assume(not any(window.opens.startswith("02:") for window in windows))  # an hour that a change of clocks leaves out
    assert is_open(windows, opens), "closed at its opening"
