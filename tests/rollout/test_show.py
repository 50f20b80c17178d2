"""What is seen while it runs: plain lines, JSON events, a live table on a terminal."""

from __future__ import annotations

import io
import json
import time

import pytest
from rich.console import Console

from talos_gpu.rollout.runner import Said
from talos_gpu.rollout.show import Events, Lines, LiveTable
from tests.rollout.sample import START, happened, journalled, sample_plan

LINES = """\
08:00:00 rollout of 4 stacks in 3 waves begun
08:00:00 canary opens: 1 stack
08:00:00 talos05: update
08:00:40 talos05: update ok in 40 s
08:00:40 talos05: gates
08:00:46 talos05: gates ok in 6 s
08:00:46 talos05: done
08:00:46 wave 2 opens: 2 stacks
08:00:46 talos06: update
08:00:46 talos07: update
08:01:16 talos06: update ok in 30 s
08:01:16 talos06: gates
08:01:21 talos06: gates gate-failed in 5 s: gate encodes failed: hevc_nvenc: <no capable devices> & nothing | more; \
run `talos-gpu doctor --stack talos06`
08:01:21 talos06: failed (gate encodes failed: hevc_nvenc: <no capable devices> & nothing | more)
08:01:21 no more stacks are started: 1 failed, 0 may
08:01:41 talos07: update ok in 55 s
08:01:41 talos07: gates
08:01:49 talos07: gates ok in 8 s
08:01:49 talos07: done
08:01:49 talos08: held (it is on hold)
08:01:49 rollout failed: 2 done, 1 failed, 1 held"""


@pytest.fixture
def utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


@pytest.mark.usefixtures("utc")
def test_plain_lines_one_an_event() -> None:
    written: list[str] = []
    view = Lines(written.append)
    for fleet, record in happened(sample_plan()):
        view.record(fleet, record)
    assert "\n".join(written) == LINES


def test_of_what_the_engine_says_plain_lines_tell_only_waits() -> None:
    written: list[str] = []
    view = Lines(written.append)
    fleet, _ = next(happened(sample_plan()))
    view.said(fleet, Said("talos05", "+ 3 created"))
    view.said(fleet, Said("talos05", "waits: another holds the stack's lock"))
    view.said(fleet, Said("talos05", "talos05 waits up to 1800 s for process ffmpeg to end"))
    assert [line.partition(" ")[2] for line in written] == [
        "talos05: waits: another holds the stack's lock",
        "talos05: talos05 waits up to 1800 s for process ffmpeg to end",
    ]


def test_events_are_the_journal_and_what_is_said_between() -> None:
    written: list[str] = []
    view = Events(written.append)
    plan = sample_plan()
    for fleet, record in happened(plan):
        view.record(fleet, record)
    view.said(fleet, Said("talos05", "über\nzwei"))
    assert all("\n" not in line for line in written)
    events = [json.loads(line) for line in written]
    last = events.pop()
    assert (last["kind"], last["stack"], last["line"]) == ("said", "talos05", "über\nzwei")
    in_journal = [record.document() for record in journalled(plan)]
    assert [event for event in events if event in in_journal] == in_journal
    assert {(e["kind"], e["step"]) for e in events if e not in in_journal} == {("started", "gates")}


def table_after(records: int, now: float, *said: Said) -> str:
    """The table, drawn, after so many records."""
    view = LiveTable(Console(width=90, color_system=None), now=lambda: now)
    for index, (fleet, record) in enumerate(happened(sample_plan()), 1):
        view.record(fleet, record)
        if index == records:
            break
    for each in said:
        view.said(fleet, each)
    console = Console(width=90, color_system=None, record=True, file=io.StringIO())
    console.print(view.table())
    return "\n".join(line.rstrip() for line in console.export_text().splitlines())


def test_the_table_has_stack_wave_step_time_and_last_line() -> None:
    assert (
        table_after(
            10,
            START + 46 + 65,
            Said("talos06", "[409] [/b] Conflict"),
            Said("talos07", " +  pulumi:pulumi:Stack talos07 creating " * 3),
        )
        == """\
stack    wave    step    time  last line
talos06  wave 2  update  1:05  [409] [/b] Conflict
talos07  wave 2  update  1:05   +  pulumi:pulumi:Stack talos07 creating  +  pulumi:pulumi…
talos05  canary  done
1 done, 2 in work, 1 pending"""
    )


def test_the_table_at_the_end() -> None:
    assert (
        table_after(99, START + 500)
        == """\
stack    wave    step    time  last line
talos08  wave 3  held          it is on hold
talos07  wave 2  done
talos06  wave 2  failed        gate encodes failed: hevc_nvenc: <no capable devices> & no…
talos05  canary  done
2 done, 1 failed, 1 held"""
    )
