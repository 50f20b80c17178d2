"""What a measurement says."""

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
