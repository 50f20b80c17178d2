"""What a rollout's journal says of stacks beyond their state: what updates did to them, and how they were last good."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from talos_gpu.rollout.gates import figures_of
from talos_gpu.rollout.plan import Plan
from talos_gpu.rollout.records import Final, Kind, Record, Step

UNENDED = "unended"
"""Key of an update's details: one was begun and nobody knows what it did."""


def good(plan: Plan, records: Iterable[Record]) -> Iterator[tuple[str, dict[str, Any]]]:
    """What is remembered of each stack that was done; only a commit of its own can be gone back to."""
    if not plan.clean:
        return
    measured: dict[str, Any] = {}
    done: dict[str, None] = {}
    for record in records:
        if record.kind is Kind.ENDED and record.ok and record.step in (Step.GATES, Step.REGATE):
            measured[record.stack] = figures_of(record.details.get("gates", ()))
        elif record.kind is Kind.FINAL and record.details["state"] == Final.DONE.value:
            done[record.stack] = None
    for name in done:
        figures = measured.get(name, {})
        yield name, {"commit": plan.commit, "release": plan.stacks[name].release, "measured": figures}


def updates(records: Iterable[Record]) -> dict[str, Mapping[str, Any]]:
    """Stack -> details of the update that its gates are asked about, where it has none of its ends yet."""
    found: dict[str, Mapping[str, Any]] = {}
    begun, lost = set[str](), set[str]()
    for record in records:
        name = record.stack
        if record.kind is Kind.FINAL:
            found.pop(name, None)
            begun.discard(name)
            lost.discard(name)
        elif record.step is Step.UPDATE and record.kind is Kind.STARTED:
            if name in begun:
                lost.add(name)
            begun.add(name)
        elif record.step is Step.UPDATE and record.kind is Kind.ENDED:
            begun.discard(name)
            if record.ok:
                found[name] = after({UNENDED: name in lost}, record.details)
    return found | {name: {UNENDED: True} for name in begun}


def after(before: Mapping[str, Any], details: Mapping[str, Any]) -> Mapping[str, Any]:
    """Details of an update that came after another; of one without an end nobody knows any more what it did."""
    return {**details, UNENDED: True} if before.get(UNENDED) else details
