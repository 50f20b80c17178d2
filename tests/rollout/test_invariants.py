"""Random fleets in virtual time: whatever happens, the limits hold, the order is kept and every stack has its end."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from talos_gpu.rollout.fleet import Fleet
from talos_gpu.rollout.model import Gate, RolloutFile, Selector, WaveRule, Window
from talos_gpu.rollout.plan import Plan
from talos_gpu.rollout.records import Final, Kind, Outcome, Record, Step
from talos_gpu.rollout.windows import is_open
from tests.rollout.cases import Case, cases, check, watched
from tests.rollout.simulation import START, UNKNOWN, Killed, World, finals, plan_of, run


@given(case=cases())
@settings(max_examples=80, deadline=None)
def test_limits_order_and_ends(case: Case) -> None:
    journal: list[Record] = []
    fleet, _ = case.run(case.world(), journal)
    check(case, journal, fleet)
    for name, state in finals(fleet).items():
        if state == Final.FAILED:
            assert name in case.broken
        if state == Final.HELD:
            assert name in case.held


@pytest.mark.parametrize(
    ("why", "end", "reason"),
    [
        (f"gate encode {UNKNOWN}: a transcode has the encoder", "failed", "gate-unknown"),
        ("gate encode failed: no encoder", "rolled-back", "gate-failed"),
    ],
)
def test_a_gate_that_could_not_tell_rolls_nothing_back(why: str, end: str, reason: str) -> None:
    file = RolloutFile(fleet="fleet", stacks=(Selector(glob="*"),), waves=(WaveRule(percent=100),))
    world = World(broken=lambda _stack, step: why if step is Step.GATES else "")
    fleet, runner = run(plan_of(file, ["a", "b"]), world, [], may_roll_back=lambda _: True)
    entry = fleet.entries["a"]
    assert (finals(fleet)["a"], entry.reason, entry.cause) == (end, reason, why)
    assert (("a", Step.ROLLBACK) in runner.began) == (end == "rolled-back")
    assert fleet.is_down("a"), "nobody has shown that it works"


@given(case=cases(), kills=st.lists(st.integers(0, 60), max_size=5))
@settings(max_examples=80, deadline=None)
def test_limits_order_and_ends_over_kills(case: Case, kills: list[int]) -> None:
    journal, fleet = _with_kills(case, case.world(), kills)
    check(case, journal, fleet)


@given(case=cases(parallel=1), kills=st.lists(st.integers(0, 60), min_size=1, max_size=5))
@settings(max_examples=80, deadline=None)
def test_a_resume_reaches_the_same_end(case: Case, kills: list[int]) -> None:
    undisturbed, _ = case.run(case.world(), [])
    _, resumed = _with_kills(case, case.world(), kills)
    assert finals(resumed) == finals(undisturbed)
    assert resumed.outcome is undisturbed.outcome


@given(case=cases(), kills=st.lists(st.integers(0, 60), min_size=1, max_size=5))
@settings(max_examples=60, deadline=None)
def test_a_healthy_fleet_is_complete_after_any_kills(case: Case, kills: list[int]) -> None:
    healthy = Case(case.plan, {}, case.held, case.slow)
    world = healthy.world()
    _, resumed = _with_kills(healthy, world, kills)
    assert resumed.outcome is Outcome.COMPLETE
    assert {name for name, state in finals(resumed).items() if state == "done"} == set(case.plan.stacks) - case.held
    assert world.applied == dict.fromkeys(set(case.plan.stacks) - case.held, 1)


@given(case=cases(), first=st.integers(0, 80), later=st.none() | st.integers(0, 40))
@settings(max_examples=60, deadline=None)
def test_interrupts(case: Case, first: int, later: int | None) -> None:
    """Once: what runs is finished. Twice: it is interrupted. The rest was not started, and a resume takes it up."""
    asks = [START + first, *([] if later is None else [START + first + later])]
    journal: list[Record] = []
    world = case.world()
    fleet, runner = case.run(world, journal, asks=list(asks))
    check(case, journal, fleet)
    counts = fleet.counts()
    if later is None or runner.asks:
        assert not counts.get(Final.INTERRUPTED)
    stop = next((index for index, record in enumerate(journal) if record.kind is Kind.STOP), len(journal))
    assert not [r for r in journal[stop:] if r.kind is Kind.STARTED and r.step is Step.UPDATE]
    if fleet.outcome is not Outcome.COMPLETE and not case.broken:
        again, _ = case.run(world, journal)
        check(case, journal, again)
        assert again.outcome is Outcome.COMPLETE


FAILED_TOGETHER = Case(
    plan=plan_of(
        RolloutFile(
            fleet="fleet",
            stacks=(Selector(glob="*"),),
            max_parallel=1,
            max_unavailable=2,
            max_failures=2,
            gates=(Gate(name="gate", command=("true",)),),
        ),
        ["s00", "s01", "s02", "s03"],
    ),
    broken={"s01": Step.UPDATE, "s02": Step.GATES},
    held=frozenset(),
)
"""More stacks left unavailable than may be in work: a resume takes them up one after the other."""


@given(case=cases())
@example(case=FAILED_TOGETHER)
@settings(max_examples=40, deadline=None)
def test_a_mended_fleet_is_complete_after_a_resume(case: Case) -> None:
    journal: list[Record] = []
    case.run(case.world(), journal)
    mended = Case(case.plan, {}, frozenset(), case.slow)
    fleet, _ = mended.run(mended.world(), journal) if journal else (None, None)
    assert fleet is not None
    assert fleet.outcome is Outcome.COMPLETE
    assert set(finals(fleet).values()) == {"done"}


@given(case=cases(), kill=st.integers(0, 100))
@settings(max_examples=40, deadline=None)
def test_the_same_records_give_the_same_state(case: Case, kill: int) -> None:
    journal: list[Record] = []
    try:
        fleet, _ = case.run(case.world(), journal, kill_after=kill)
    except Killed:
        return
    again = Fleet(case.plan)
    again.fold(Record.of(record.document()) for record in journal)
    assert finals(again) == finals(fleet)
    assert (again.failures, again.stop, again.outcome) == (fleet.failures, fleet.stop, fleet.outcome)
    assert {n for n in again.entries if again.is_down(n)} == {n for n in fleet.entries if fleet.is_down(n)}


def _with_kills(case: Case, world: World, kills: list[int]) -> tuple[list[Record], Fleet]:
    journal: list[Record] = []
    for kill in kills:
        try:
            fleet, _ = case.run(world, journal, kill_after=kill)
        except Killed:
            continue
        return journal, fleet
    fleet, _ = case.run(world, journal)
    return journal, fleet


STOPPED_IN_WORK = Case(
    plan=plan_of(
        RolloutFile(
            fleet="fleet",
            stacks=(Selector(glob="*"),),
            clusters={"c0": ("s*",)},
            max_parallel=2,
            max_unavailable=2,
            gates=(Gate(name="gate", command=("true",)),),
        ),
        ["s00", "s01", "s02", "s03"],
    ),
    broken={"s03": Step.UPDATE},
    held=frozenset(),
    slow={"s01": 25},
)
"""Stopped by a failure and killed while another stack was in work: a resume ends that one, in the next window."""


@given(
    case=cases(),
    since=st.dictionaries(st.integers(0, 13).map(lambda n: f"s{n:02}"), st.integers(0, 300), max_size=4),
    kills=st.lists(st.integers(0, 40), max_size=2),
)
@example(case=STOPPED_IN_WORK, since={}, kills=[34])
@settings(max_examples=60, deadline=None)
def test_holds_and_windows_that_change_while_it_runs(case: Case, since: dict[str, int], kills: list[int]) -> None:
    """Two windows of a minute a day; holds are set at some moment and stay."""
    windows = (Window(opens="08:00", closes="08:01"), Window(opens="08:03", closes="08:04"))
    fields = {name: getattr(case.plan, name) for name in Plan.model_fields}
    timed = Case(Plan(**{**fields, "windows": windows}), case.broken, frozenset(), case.slow, case.rolls_back)
    world, journal = timed.world(), list[Record]()

    def held(name: str) -> bool:
        return world.now >= START + since.get(name, 10**9)

    def may_roll_back(_: str) -> bool:
        return case.rolls_back

    fleet = None
    for kill in [*kills, None]:
        try:
            watch = watched(timed.plan, journal)
            fleet, _ = run(
                timed.plan, world, journal, watch=watch, held=held, may_roll_back=may_roll_back, kill_after=kill
            )
        except Killed:
            continue
        break
    assert fleet is not None
    check(timed, journal, fleet)
    begun = set[str]()
    for record in journal:
        if record.kind is Kind.STARTED and record.step is Step.UPDATE:
            assert is_open(windows, record.at), f"{record.stack} was started outside of every window"
            assert record.stack in begun or record.at < START + since.get(record.stack, 10**9), "started while on hold"
            begun.add(record.stack)
    for name, state in finals(fleet).items():
        assert state != Final.HELD or name in since
