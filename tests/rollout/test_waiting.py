"""How long a built-in gate waits: a look that was begun is ended, also when the time is over meanwhile."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from talos_gpu.rollout import waiting
from talos_gpu.rollout.gates import Asked, Said, Verdict
from talos_gpu.rollout.waiting import NotYet, wait
from talos_gpu.talos.errors import Unreachable

NOT_YET = NotYet(Said(Verdict.FAILED, cause="not yet"))
PASSED = Said(Verdict.PASSED, "here")


def said(folder: Path, look: Callable[[], Awaitable[Said | NotYet]], seconds: int = 1) -> Said:
    asked = Asked("a", folder, folder / "Pulumi.a.yaml", seconds, {}, threading.Event())
    return wait(asked, look, poll_s=0.01)


def test_what_stays_so_until_the_time_is_over_is_the_answer(tmp_path: Path) -> None:
    async def look() -> Said | NotYet:
        return NOT_YET

    assert said(tmp_path, look) == Said(Verdict.FAILED, cause="not yet (still so after 1 s)")


def test_a_look_that_outlasts_the_time_still_counts(tmp_path: Path) -> None:
    """A busy machine may need longer for the first look than the gate has."""
    looks = 0

    async def look() -> Said | NotYet:
        nonlocal looks
        looks += 1
        await asyncio.sleep(0.1)
        return PASSED

    assert said(tmp_path, look, seconds=0) == PASSED
    assert looks == 1


def test_a_look_without_an_end_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "LOOK_S", 0.01)

    async def look() -> Said | NotYet:
        await asyncio.Event().wait()
        return PASSED

    assert said(tmp_path, look) == Said(Verdict.UNKNOWN, cause="there was no answer (still so after 1 s)")


def test_a_node_that_does_not_answer_is_looked_for_again(tmp_path: Path) -> None:
    away = [Unreachable("Version", "lab-1", "no answer"), Unreachable("Version", "lab-1", "no answer")]

    async def look() -> Said | NotYet:
        if away:
            raise away.pop()
        return PASSED

    assert said(tmp_path, look, seconds=60) == PASSED
