"""What is wrong with a stack's settings, all of it at once.

TalosGpuError
└── UsageError
    └── SettingsInvalid   carries every Fault
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from typing_extensions import override

from talos_gpu.errors import UsageError

_SHOWN = 80


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault. `path` is like `tdarr.volumes[0].path`; `value` is as it may be shown, "" where there is none."""

    path: str
    value: str
    rule: str
    remedy: str = ""

    @override
    def __str__(self) -> str:
        shown = f" {self.value}" if self.value else ""
        remedy = f"\n    remedy: {self.remedy}" if self.remedy else ""
        return f"{self.path}:{shown} {self.rule}{remedy}"


class SettingsInvalid(UsageError):
    """The stack's settings cannot be used; `faults` has every reason."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
        super().__init__(f"the stack's settings have {count}:" + "".join(f"\n  {fault}" for fault in faults))
        self.faults = tuple(faults)


def shown(value: object) -> str:
    """A value as an error message may show it: quoted, and cut where it is long."""
    text = "null" if value is None else str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`did you mean 'server_url'?`, or the list of what is known where nothing is near."""
    names = list(known)
    folded = {name.replace("_", "").replace("-", "").lower(): name for name in names}
    plain = word.replace("_", "").replace("-", "").lower()
    near = difflib.get_close_matches(plain, folded, n=1, cutoff=0.6)
    if near:
        return f"did you mean {folded[near[0]]!r}?"
    return f"known: {', '.join(sorted(names))}" if names else ""
