"""What a known error text is."""

from __future__ import annotations

import re
from dataclasses import dataclass

SEED = "the original write-up, Troubleshooting"
H100 = "seen on an H100, containerd 2.1.4, toolkit 1.17.8"
LAB = "seen on the lab's node, containerd 2.1.4, toolkit 1.17.8"


@dataclass(frozen=True, slots=True)
class Known:
    """An error text and its meaning."""

    name: str
    pattern: re.Pattern[str]
    cause: str
    remedy: str
    source: str


def known(name: str, pattern: str, cause: str, remedy: str, source: str) -> Known:
    """One of a table."""
    return Known(name, re.compile(pattern), cause, remedy, source)
