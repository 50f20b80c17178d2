"""A real rollout of a change that restarts every node: four in one cluster, one in a second."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from lab import fleet, memory
from tests.lab.fleets import REBOOTS, Fleet, Polled, started
from tests.lab.verifying import transcoding

pytestmark = pytest.mark.lab

MAX_UNAVAILABLE = 1
MEMORY_MIB = 4096
FIRST_CLUSTER, SECOND_CLUSTER = {"lab", "lab-2", "lab-3", "lab-4"}, {"lab-b1"}


@pytest.fixture(scope="module")
def five(binaries: Path) -> Iterator[Fleet]:
    """Four nodes in one cluster and one in a second, every one encoding."""
    with started("test-fleet", binaries, [4, 1]) as made:
        yield made


def test_four_nodes_and_a_second_cluster_fit_into_the_memory_that_is_promised(five: Fleet) -> None:
    sizes: dict[str, float] = {}
    for name, kib in memory.pss(fleet.clusters(five.lab)):
        sizes[name] = sizes.get(name, 0) + kib / 1024
    print({name: round(mib) for name, mib in sorted(sizes.items(), key=lambda item: -item[1])[:8]})
    print(f"memory of five nodes and two control planes: {sum(sizes.values()):.0f} MiB PSS")
    assert sum(sizes.values()) < MEMORY_MIB, sizes
    assert len({stack.node.endpoint for stack in five.stacks}) == len(five.stacks), "a Talos API each"


def test_nodes_restart_one_at_a_time_in_each_cluster_and_an_encode_that_runs_is_waited_for(five: Fleet) -> None:
    for stack in five.stacks:
        stack.write_config(REBOOTS)
    limits = {"max_parallel": 2, "max_unavailable": MAX_UNAVAILABLE, "waves": [{"percent": 100}]}
    fleet.write_rollout(five.lab, limits)
    plan = five.planned()
    assert {stack["reboot"] for stack in plan["stacks"].values()} == {"possible"}
    before, [first, second] = five.boots(), fleet.clusters(five.lab)
    with Polled(first) as ours, Polled(second) as theirs, ExitStack() as encode:
        encode.enter_context(transcoding(five["lab"].stack, seconds=3600, live=True))
        with five.running("run") as rollout:
            rollout.until("lab waits for its encode", waits("lab", "lab-1 waits up to 1800 s for process ffmpeg"))
            rollout.until("the other cluster is done", is_done("lab-b1"))
            boots = five.boots()
            assert {name for name in boots if boots[name] != before[name]} == SECOND_CLUSTER
            assert touched(rollout.events) == {"lab", "lab-b1"}, "a second node of one cluster was begun"
            encode.close()  # fails if the encode was cut off
            assert rollout.ended() == 0, rollout.events[-5:]
    assert rollout.finals() == dict.fromkeys(FIRST_CLUSTER | SECOND_CLUSTER, "done")
    after = five.boots()
    assert all(after[name] != before[name] for name in before), "a node was not restarted"
    ours.never_more_than(MAX_UNAVAILABLE)
    theirs.never_more_than(MAX_UNAVAILABLE)

    for name, stack in five.report().items():
        answers = next(step["gates"] for step in stack["steps"] if step["step"] == "gates")
        assert [answer["verdict"] for answer in answers] == ["passed"] * 6
        measured = next(answer["measured"] for answer in answers if answer["gate"] == "encode")
        for codec in ("hevc_nvenc", "h264_nvenc"):
            assert measured[codec]["value"] > 0
            assert name == "lab" or measured[codec]["before"] > 0, "what the encoder did before is not known"
        assert "the update restarted it" in answers[0]["evidence"]
    table = five.rollout("report").stdout
    assert "| stack | measured | before | after | unit |" in table
    assert "| lab | encode: hevc_nvenc | - |" in table, "the encoder was in use: nobody knows how quick it was"


def waits(stack: str, words: str) -> Any:
    return lambda event: event["kind"] == "said" and event["stack"] == stack and words in event["line"]


def is_done(stack: str) -> Any:
    return lambda event: event["kind"] == "final" and event["stack"] == stack and event["details"]["state"] == "done"


def touched(events: list[dict[str, Any]]) -> set[str]:
    """Stacks of which a step was begun."""
    return {event["stack"] for event in events if event["kind"] == "started"}
