"""A rollout that ended in its second wave, record by record: what views and reports are compared on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from talos_gpu.rollout.decide import Begin, Conditions, decide
from talos_gpu.rollout.fleet import Fleet
from talos_gpu.rollout.load import parse
from talos_gpu.rollout.plan import Plan
from talos_gpu.rollout.records import EFFECTS, Kind, Record, Step
from tests.rollout.simulation import plan_of

FILE = """\
fleet: home
stacks: [{glob: "*"}]
waves: [{count: 1, name: canary}, {count: 2}]
clusters: {one: [talos05, talos06], two: [talos07]}
max_parallel: 2
max_unavailable: 2
holds: [talos08]
gates: [{name: encodes, command: [talos-gpu, verify]}]
"""
NAMES = ["talos05", "talos06", "talos07", "talos08"]
START = 1_800_000_000.0
CAUSE = "gate encodes failed: hevc_nvenc: <no capable devices> & nothing | more\nrun `talos-gpu doctor --stack talos06`"
WHEN = {"talos05": (40.0, 6.0), "talos06": (30.0, 5.0), "talos07": (55.0, 8.0)}
SPEEDS = {"talos05": (5.24, 5.31), "talos07": (None, 5.69)}


def sample_plan() -> Plan:
    return plan_of(parse(FILE), NAMES)


def _details(stack: str, step: Step) -> dict[str, Any]:
    seconds = WHEN[stack][step is Step.GATES]
    if step is Step.UPDATE:
        return {"seconds": seconds, "changes": [], "resources": {"update": 2, "same": 7}}
    answer: dict[str, Any] = {"gate": "encodes", "verdict": "passed", "seconds": seconds}
    if stack == "talos06":
        return {"seconds": seconds, "gates": [answer | {"verdict": "failed", "cause": CAUSE}]}
    before, after = SPEEDS[stack]
    figure = {"value": after, "unit": "x"} | ({"before": before} if before is not None else {})
    return {"seconds": seconds, "gates": [answer | {"measured": {"hevc_nvenc": figure}}]}


def happened(plan: Plan) -> Iterator[tuple[Fleet, Record]]:
    """The rollout's records as they come, each with the state after it; starts that no journal has among them."""
    fleet, now = Fleet(plan), START
    due: list[tuple[float, str, Step]] = []

    def take(record: Record) -> tuple[Fleet, Record]:
        fleet.apply(record)
        return fleet, record

    yield take(Record(Kind.BEGUN, now, details={"plan": plan.hash}))
    while fleet.outcome is None:
        given = Conditions(now, True, lambda name: name == "talos08", lambda _: False)
        for decision in decide(fleet, given):
            if isinstance(decision, Begin):
                due.append((now + WHEN[decision.stack][decision.step is Step.GATES], decision.stack, decision.step))
                yield take(Record(Kind.STARTED, now, stack=decision.stack, step=decision.step))
            else:
                yield take(decision)
        if fleet.outcome is None:
            due.sort()
            now, stack, step = due.pop(0)
            ok = (stack, step) != ("talos06", Step.GATES)
            told = {} if ok else {"reason": "gate-failed", "cause": CAUSE}
            ended = Record(Kind.ENDED, now, stack=stack, step=step, ok=ok, details=_details(stack, step), **told)
            yield take(ended)


def journalled(plan: Plan) -> list[Record]:
    return [r for _, r in happened(plan) if r.kind is not Kind.STARTED or r.step in EFFECTS]
