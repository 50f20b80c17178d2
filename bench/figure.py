"""What a measurement says: a ratio, an amount, or a note beside one."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """Seconds of ours beside a reference's, on one machine; `bar` is the highest ratio allowed, None for none."""

    name: str
    reference: str
    reference_s: float
    ours_s: float
    bar: float | None

    @property
    def ratio(self) -> float:
        """Ours over the reference's."""
        return self.ours_s / self.reference_s

    @property
    def within(self) -> bool:
        """Whether the bar holds."""
        return self.bar is None or self.ratio <= self.bar


@dataclass(frozen=True, slots=True)
class Amount:
    """A figure without a reference: `value` in `unit`; `bar` is the most allowed, None for none."""

    name: str
    value: float
    unit: str
    bar: float | None
    where: str = ""
    """What the most of it is."""

    @property
    def within(self) -> bool:
        """Whether the bar holds."""
        return self.bar is None or self.value <= self.bar


@dataclass(frozen=True, slots=True)
class Note:
    """What stands beside a figure to explain it."""

    name: str
    text: str
