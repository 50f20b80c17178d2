"""When stacks may be started: pure functions of the windows and of a moment."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

from talos_gpu.settings.windows import Day, Window

_DAYS: tuple[Day, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_LOOK_AHEAD = 9
"""Days: a window that is open once a week opens within them, whatever the zone."""


def is_open(windows: Sequence[Window], now: float) -> bool:
    """Whether a stack may be started at `now`, seconds since the epoch; without windows always."""
    return not windows or any(opens <= now < closes for opens, closes in _spans(windows, now))


def next_opening(windows: Sequence[Window], now: float) -> float | None:
    """When the next window opens after `now`, seconds since the epoch; None without windows."""
    return min((opens for opens, _ in _spans(windows, now) if opens > now), default=None)


def closed(windows: Sequence[Window], now: float) -> str:
    """Say until when the windows are closed at `now`, seconds since the epoch; "" where one is open or there is none.

    The moment is in the first window's zone: `Sat 2026-11-28 22:00 Europe/Berlin`.
    """
    opens = None if is_open(windows, now) else next_opening(windows, now)
    if opens is None:
        return ""
    moment = datetime.fromtimestamp(opens, windows[0].zone)
    return f"{moment:%a %Y-%m-%d %H:%M} {windows[0].timezone}"


def _spans(windows: Sequence[Window], now: float) -> Iterator[tuple[float, float]]:
    for window in windows:
        today = datetime.fromtimestamp(now, UTC).astimezone(window.zone).date()
        for ahead in range(-1, _LOOK_AHEAD):
            day = today + timedelta(days=ahead)
            if _DAYS[day.weekday()] not in window.days:
                continue
            over_midnight = window.closes <= window.opens
            last = day + timedelta(days=1) if over_midnight else day
            opens = datetime.combine(day, datetime.strptime(window.opens, "%H:%M").time(), window.zone)
            closes = datetime.combine(last, datetime.strptime(window.closes, "%H:%M").time(), window.zone)
            yield opens.timestamp(), closes.timestamp()
