"""What people and programs see while a rollout runs: a live table, plain lines, or JSON events."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from talos_gpu.rollout.decide import phase
from talos_gpu.rollout.fleet import Entry, Fleet
from talos_gpu.rollout.records import Final, Kind, Record
from talos_gpu.rollout.report import counted
from talos_gpu.rollout.runner import Said

_ROWS = 30
_STYLES = {Final.DONE: "green", Final.FAILED: "red", Final.ROLLED_BACK: "yellow", Final.INTERRUPTED: "yellow"}


@dataclass
class Lines:
    """One plain line for each thing that happens; for logs and pipes."""

    write: Callable[[str], None]

    def record(self, fleet: Fleet, record: Record) -> None:
        """As `talos_gpu.rollout.drive.View`."""
        line = line_of(fleet, record)
        if line:
            self.write(f"{time.strftime('%H:%M:%S', time.localtime(record.at))} {line}")

    def said(self, fleet: Fleet, said: Said) -> None:
        """Lines of the engine are in its log; only waits are told."""
        del fleet
        if said.line.startswith("waits:") or _WAITS in said.line:
            self.write(f"{time.strftime('%H:%M:%S')} {said.stack}: {said.line}")


_WAITS = " waits up to "
"""Of `talos_gpu.kube.quiet`, which holds a restart back while the node encodes; the engine passes it on."""


@dataclass
class Events:
    """One JSON document a line: every record, and `said` for the lines between."""

    write: Callable[[str], None]

    def record(self, fleet: Fleet, record: Record) -> None:
        """As `talos_gpu.rollout.drive.View`."""
        del fleet
        self.write(json.dumps(record.document(), ensure_ascii=False))

    def said(self, fleet: Fleet, said: Said) -> None:
        """As `talos_gpu.rollout.drive.View`."""
        del fleet
        document = {"kind": "said", "at": round(time.time(), 3), "stack": said.stack, "line": said.line}
        self.write(json.dumps(document, ensure_ascii=False))


@dataclass
class LiveTable:
    """A table on a terminal: stack, wave, step, time, last line. What runs comes first, then what ended last."""

    console: Console
    now: Callable[[], float] = time.time
    _lines: dict[str, str] = field(default_factory=dict)
    _recent: dict[str, None] = field(default_factory=dict)
    _fleet: Fleet | None = None
    _live: Live | None = None

    def __enter__(self) -> Self:
        self._live = Live(console=self.console, get_renderable=self.table, refresh_per_second=2)
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def record(self, fleet: Fleet, record: Record) -> None:
        """As `talos_gpu.rollout.drive.View`."""
        self._fleet = fleet
        if record.stack:
            self._recent.pop(record.stack, None)
            self._recent[record.stack] = None
            self._lines[record.stack] = record.cause.splitlines()[0] if record.cause else ""
            if len(self._recent) > _ROWS and record.kind is Kind.FINAL:
                oldest = next(iter(self._recent))
                del self._recent[oldest], self._lines[oldest]

    def said(self, fleet: Fleet, said: Said) -> None:
        """As `talos_gpu.rollout.drive.View`."""
        self._fleet = fleet
        self._lines[said.stack] = said.line

    def table(self) -> Table:
        """The table as it is now."""
        table = Table(box=None, pad_edge=False, expand=True, caption_justify="left", caption=self._caption())
        for column in ("stack", "wave", "step", "time"):
            table.add_column(column, no_wrap=True)
        table.add_column("last line", no_wrap=True, overflow="ellipsis", ratio=1)
        if self._fleet is None:
            return table
        names = [*self._fleet.running, *(name for name in reversed(self._recent) if name not in self._fleet.running)]
        for name in names[:_ROWS]:
            entry = self._fleet.entries[name]
            style = _STYLES.get(entry.final, "") if entry.final else ""
            wave = self._fleet.plan.waves[entry.wave].name
            line = Text(self._lines.get(name, ""))  # what an engine says is no markup
            table.add_row(name, wave, phase(entry), self._age(entry), line, style=style)
        return table

    def _age(self, entry: Entry) -> str:
        if entry.final is not None:
            return ""
        seconds = int(self.now() - entry.since)
        return f"{seconds // 60}:{seconds % 60:02}"

    def _caption(self) -> str:
        return summary(self._fleet) if self._fleet is not None else ""


def line_of(fleet: Fleet, record: Record) -> str:
    """A record in words; "" for one that is not worth a line."""
    match record.kind:
        case Kind.BEGUN:
            return (
                f"rollout of {counted(len(fleet.entries), 'stack')} in {counted(len(fleet.plan.waves), 'wave')} begun"
            )
        case Kind.RESUMED:
            return "rollout resumed"
        case Kind.WAVE:
            wave = fleet.plan.waves[int(record.details["index"])]
            return f"{wave.name} opens: {counted(len(wave.stacks), 'stack')}"
        case Kind.STARTED:
            return f"{record.stack}: {record.step}"
        case Kind.ENDED:
            took = f" in {record.details['seconds']:g} s" if "seconds" in record.details else ""
            why = f": {'; '.join(record.cause.splitlines())}" if record.cause and not record.ok else ""
            return f"{record.stack}: {record.step} {'ok' if record.ok else record.reason}{took}{why}"
        case Kind.FINAL:
            why = f" ({record.cause.splitlines()[0]})" if record.cause else ""
            return f"{record.stack}: {record.details['state']}{why}"
        case Kind.STOP:
            return f"no more stacks are started: {record.cause or record.reason}"
        case Kind.INTERRUPT:
            return "what runs is interrupted"
        case Kind.FINISHED:
            return f"rollout {record.details['outcome']}: {summary(fleet)}"


def summary(fleet: Fleet) -> str:
    """How many stacks are where."""
    counts = fleet.counts()
    ended = [f"{counts[state]} {state.value}" for state in Final if counts.get(state)]
    left = len(fleet.entries) - sum(counts.values()) - len(fleet.running)
    more = [f"{count} {word}" for count, word in ((len(fleet.running), "in work"), (left, "pending")) if count]
    return ", ".join([*ended, *more])
