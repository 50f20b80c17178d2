"""Random fleets, what befalls them, and what a rollout of them promises."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

from talos_gpu.rollout.fleet import Fleet
from talos_gpu.rollout.model import Gate, RolloutFile, Selector, WaveRule
from talos_gpu.rollout.plan import Plan, waves_of
from talos_gpu.rollout.records import Final, Kind, Outcome, Record, Step
from tests.rollout.simulation import FakeRunner, World, finals, plan_of, run

BROKEN_AT = (Step.UPDATE, Step.GATES, Step.REGATE, Step.ROLLBACK)


@dataclass(frozen=True)
class Case:
    """A fleet and what befalls it."""

    plan: Plan
    broken: dict[str, Step]
    held: frozenset[str]
    slow: dict[str, int] = field(default_factory=dict)
    rolls_back: bool = False

    def world(self) -> World:
        return World(
            seconds=lambda stack, step: float(self.slow.get(stack, 3) + 2 * (step is Step.GATES)),
            broken=lambda stack, step: "broken on purpose" if self._breaks(stack, step) else "",
        )

    def _breaks(self, stack: str, step: Step) -> bool:
        at = self.broken.get(stack)
        return at is step or (at is Step.ROLLBACK and step is Step.GATES)

    def run(self, world: World, journal: list[Record], **more: Any) -> tuple[Fleet, FakeRunner]:
        return run(
            self.plan,
            world,
            journal,
            watch=watched(self.plan, journal),
            held=lambda name: name in self.held,
            may_roll_back=lambda _: self.rolls_back,
            **more,
        )


@st.composite
def cases(draw: st.DrawFn, parallel: int = 5) -> Case:
    names = [f"s{index:02}" for index in range(draw(st.integers(1, 14)))]
    clusters = draw(st.integers(1, 4))
    rules = draw(
        st.lists(
            st.one_of(
                st.builds(WaveRule, count=st.integers(1, 5), soak_s=st.sampled_from([None, 0, 7])),
                st.builds(WaveRule, percent=st.integers(1, 100), max_parallel=st.none() | st.integers(1, parallel)),
            ),
            max_size=4,
        )
    )
    file = RolloutFile(
        fleet="fleet",
        stacks=(Selector(glob="*"),),
        waves=tuple(rules),
        clusters={
            f"c{number}": tuple(names[number::clusters]) for number in range(clusters) if names[number::clusters]
        },
        max_parallel=draw(st.integers(1, parallel)),
        max_unavailable=draw(st.integers(1, 3)),
        max_failures=draw(st.integers(0, 3)),
        gates=(Gate(name="gate", command=("true",)),),
    )
    some = st.sampled_from(names)
    return Case(
        plan=plan_of(file, names),
        broken=draw(st.dictionaries(some, st.sampled_from(BROKEN_AT), max_size=4)),
        held=draw(st.frozensets(some, max_size=2)),
        slow=draw(st.dictionaries(some, st.integers(1, 40), max_size=6)),
        rolls_back=draw(st.booleans()),
    )


def check(case: Case, journal: list[Record], fleet: Fleet) -> None:
    """The promises, read from the journal alone, without the scheduler's own counting."""
    wave, cluster = waves_of(case.plan), {name: stack.cluster for name, stack in case.plan.stacks.items()}
    down, left = set[str](), set[str]()
    final: dict[str, str] = {}
    failures, done_once = 0, set[str]()
    for record in journal:
        if record.kind is Kind.RESUMED:
            retry = bool(record.details.get("retry"))
            kept = () if retry else (Final.FAILED.value, Final.ROLLED_BACK.value, Final.HELD.value)
            final = {name: state for name, state in final.items() if state in kept}
            failures = 0 if retry else failures
            left = set(down)  # a resume ends first what was begun
        elif record.kind is Kind.STARTED:
            name = record.stack
            down.add(name)
            assert record.step in (Step.UPDATE, Step.ROLLBACK)
            if record.step is Step.UPDATE:
                assert name not in case.held
                assert name not in final, f"{name} was updated after its end"
                assert name not in done_once, f"{name} was done and updated again"
                assert name in left or failures <= case.plan.max_failures, "started although too many had failed"
                earlier = [] if name in left else [other for other, index in wave.items() if index < wave[name]]
                assert all(other in final for other in earlier), f"{name} did not wait for the wave before"
            per_cluster = Counter(cluster[other] for other in down)
            assert per_cluster[cluster[name]] <= case.plan.max_unavailable, f"{cluster[name]}: too many unavailable"
        elif record.kind is Kind.FINAL:
            assert record.stack not in final, f"{record.stack} has two ends"
            final[record.stack] = record.details["state"]
            failures += final[record.stack] in (Final.FAILED.value, Final.ROLLED_BACK.value)
            if final[record.stack] == Final.DONE.value:
                down.discard(record.stack)
                done_once.add(record.stack)
    assert journal[-1].kind is Kind.FINISHED
    assert final == finals(fleet)
    assert final.keys() == case.plan.stacks.keys()
    assert (fleet.outcome is Outcome.COMPLETE) == all(state in ("done", "held") for state in final.values())


def in_work(plan: Plan, runner: FakeRunner, *, resumed: bool) -> None:
    """Looked at whenever a step begins; a resume first ends what was begun, of any wave."""
    waves = {waves_of(plan)[name] for name in runner.working}
    assert resumed or len(waves) == 1, "two waves at once"
    assert len(runner.working) <= min(plan.waves[wave].max_parallel for wave in waves)


def watched(plan: Plan, journal: list[Record]) -> Callable[[FakeRunner], None]:
    """`in_work`, for one process's part of a rollout."""
    resumed = bool(journal)
    return lambda runner: in_work(plan, runner, resumed=resumed)
