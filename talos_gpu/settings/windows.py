"""Maintenance windows: of a stack, and of a rollout."""

from __future__ import annotations

from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from talos_gpu.settings.base import Strict

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


def fault(message: str, remedy: str = "") -> PydanticCustomError:
    """A fault whose message says everything, as a validator raises it."""
    return PydanticCustomError("rollout", "{message}", {"message": message, "remedy": remedy, "whole": True})


def _time(value: str) -> str:
    hours, colon, minutes = value.partition(":")
    digits = len(hours) == 2 and len(minutes) == 2 and hours.isdigit() and minutes.isdigit()
    if not (colon and digits and int(hours) < 24 and int(minutes) < 60):
        raise fault(f"{value!r} is not a time of day", 'write it quoted, as "22:30"')
    return value


def _zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ValueError, OSError, ZoneInfoNotFoundError):  # a name that leads out of the database; a folder of it; none
        raise fault(f"{value!r} is not a time zone", "name it as the tz database does: Europe/Berlin, UTC") from None
    return value


Time = Annotated[str, AfterValidator(_time)]
Zone = Annotated[str, AfterValidator(_zone)]


class Window(Strict):
    """When stacks may be started. `closes` at or before `opens` means the next day."""

    days: tuple[Day, ...] = Field(
        default=("mon", "tue", "wed", "thu", "fri", "sat", "sun"),
        min_length=1,
        title="Days",
        description="Days on which it opens.",
    )
    opens: Time = Field(title="Opens", description='Time of day at which it opens: `"22:00"`.')
    closes: Time = Field(title="Closes", description='Time of day at which it closes: `"04:00"`.')
    timezone: Zone = Field(default="UTC", title="Time zone", description="Of both times, as the tz database names it.")

    @property
    def zone(self) -> ZoneInfo:
        """The time zone."""
        return ZoneInfo(self.timezone)
