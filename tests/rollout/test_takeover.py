"""What a resume does while an earlier process's update of a stack still runs, and what it knows of that update."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from talos_gpu.rollout import gates, past
from talos_gpu.rollout.gates import Asked, Measured
from talos_gpu.rollout.load import parse
from talos_gpu.rollout.model import Gate
from talos_gpu.rollout.processes import Processes
from talos_gpu.rollout.pulumi_cli import Pulumi
from talos_gpu.rollout.records import Final, Kind, Record, Step, final
from talos_gpu.rollout.runner import Ended, Said
from tests.rollout.simulation import plan_of

TOUCHED = {"changes": [{"op": "update", "type": "t", "name": "n"}]}
UNTOUCHED: dict[str, Any] = {"changes": []}
measured: list[str] = []


def speeds(asked: Asked) -> Mapping[str, Measured]:
    measured.append(asked.stack)
    return {}


@contextmanager
def orphan(folder: Path) -> Iterator[Callable[[], None]]:
    """An update of `a` that an earlier process left running; yields what ends it."""
    handle = os.open(folder / "a.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield lambda: fcntl.flock(handle, fcntl.LOCK_UN)
    finally:
        os.close(handle)


def until(runner: Processes, kind: type[Ended | Said], words: str = "") -> Ended | Said:
    while True:
        happened = runner.wait(None)
        assert isinstance(happened, Said | Ended)
        if isinstance(happened, kind) and (not words or words in getattr(happened, "line", "")):
            return happened


@pytest.mark.parametrize(
    ("step", "begun", "done"),
    [(Step.ROLLBACK, [], ["laid out"]), (Step.UPDATE, [], ["a"]), (Step.UPDATE, ["a"], [])],
)
def test_nothing_is_laid_out_or_measured_under_an_update_that_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: Step, begun: list[str], done: list[str]
) -> None:
    monkeypatch.setattr(gates, "MEASURED_BEFORE", {"encode": (__name__, "speeds")})
    measured.clear()
    pulumi = Pulumi(tmp_path, tmp_path, "/bin/true", {})

    def laid_out(_stack: str) -> Pulumi:
        measured.append("laid out")
        return pulumi

    rules = [Gate(name="encode")]
    runner = Processes(pulumi, tmp_path, rules, lambda _: 0.0, 0.0, refresh=False, roll_back=laid_out, begun=begun)
    with orphan(tmp_path) as end:
        runner.begin("a", step)
        until(runner, Said, "waits: an earlier rollout's update of it still runs")
        assert measured == []
        end()
        ended = until(runner, Ended)
    assert isinstance(ended, Ended)
    assert ended.ok, ended
    assert measured == done


def update(kind: Kind, **more: Any) -> Record:
    return Record(kind, 0.0, stack="a", step=Step.UPDATE, **more)


BEGUN, ENDED = update(Kind.STARTED), update(Kind.ENDED, ok=True, details=TOUCHED)
AGAIN = update(Kind.ENDED, ok=True, details=UNTOUCHED)
BROKEN = update(Kind.ENDED, ok=False, details=TOUCHED)
RESUMED = Record(Kind.RESUMED, 0.0)


@pytest.mark.parametrize(
    ("journal", "known"),
    [
        ([], None),
        ([BEGUN, ENDED, RESUMED], TOUCHED),
        ([BEGUN, RESUMED], {past.UNENDED: True}),
        ([BEGUN, RESUMED, BEGUN, AGAIN, RESUMED], {**UNTOUCHED, past.UNENDED: True}),
        ([BEGUN, BROKEN, final(0.0, "a", Final.FAILED), RESUMED], None),
        ([BEGUN, RESUMED, BEGUN, BROKEN, final(0.0, "a", Final.FAILED), RESUMED, BEGUN, AGAIN], UNTOUCHED),
        ([BEGUN, ENDED, final(0.0, "a", Final.DONE)], None),
    ],
)
def test_what_is_known_of_the_update_before_the_gates(journal: list[Record], known: object) -> None:
    assert past.updates(journal).get("a") == known


def test_an_update_after_one_that_nobody_saw_the_end_of_may_have_had_nothing_left_to_do(tmp_path: Path) -> None:
    pulumi = Pulumi(tmp_path, tmp_path, "/bin/true", {})
    runner = Processes(pulumi, tmp_path, (), lambda _: 0.0, 0.0, refresh=False, roll_back=lambda _: pulumi)
    runner.updates["a"] = {past.UNENDED: True}
    runner.begin("a", Step.UPDATE)
    until(runner, Ended)
    assert runner.updates["a"][past.UNENDED] is True
    assert runner.updates["a"]["changes"] == []


def test_what_was_done_is_the_last_good_commit_whatever_became_of_the_rollout() -> None:
    plan = plan_of(parse("fleet: home\nstacks: [{glob: '*'}]\ngates: []"), ["a", "b"])
    gate = {"gate": "encode", "measured": {"hevc": {"value": 5.0, "unit": "x"}}}
    gates_passed = Record(Kind.ENDED, 0.0, stack="a", step=Step.GATES, ok=True, details={"gates": [gate]})
    broken = final(0.0, "b", Final.FAILED)
    journal = [gates_passed, final(0.0, "a", Final.DONE), RESUMED, final(0.0, "a", Final.INTERRUPTED), broken]
    good = {"commit": plan.commit, "release": "", "measured": {"encode": gate["measured"]}}
    assert dict(past.good(plan, journal)) == {"a": good}
    assert dict(past.good(plan.model_copy(update={"clean": False}), journal)) == {}
