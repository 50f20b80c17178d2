"""The write-up's steps as bench/seed_way.py takes them: what fails of them is repaired as its own messages suggest."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.by_hand import ByHand
from bench.seed_objects import HOOK, REAL_HOOK, SOURCE, TARGET
from bench.worksite import Worksite

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def hand(binaries: Path) -> Iterator[ByHand]:
    with Worksite.fresh("test-hand", binaries) as site:
        person = ByHand(site)
        person.reach_an_encode()
        yield person


def test_the_worker_encodes_after_one_repair(hand: ByHand) -> None:
    repairs = [step.what for step in hand.person.steps if step.repair]
    assert repairs[0] == "the generator: no shell on the host, nvidia-ctk itself"
    assert len(repairs) == 6, repairs
    assert hand.person.steps[-1].what == "kubectl exec: nvidia-smi and ffmpeg"


def test_the_folder_that_wins_for_containerd_has_the_unpatched_spec(hand: ByHand) -> None:
    source, installed = hand.read(SOURCE), hand.read(TARGET)
    assert installed == source.replace(HOOK, REAL_HOOK) != source
    assert "unknown command nvidia-cdi-hook" in hand.mend_the_folders()
