"""Four stacks on the real engine: the whole command, killed, locked out, made void, interrupted."""

from __future__ import annotations

import signal

from tests.rollout.real_fleet import STACKS, RealFleet

ONCE = {stack: ["1"] for stack in STACKS}
"""Every node was changed, and none twice."""


def test_kill_at_every_journal_step_then_resume(fleet: RealFleet) -> None:
    kills, verb = 0, "run"
    while (ended := fleet.script("killed_session.py", verb))[0] == -signal.SIGKILL:
        kills, verb = kills + 1, "resume"
        assert kills < 40
    assert "the last rollout is complete" in ended[1]
    # begun, wave; for each stack: started, update ended, gates ended, final, and after a resume its recheck; finished
    assert kills == 2 + 5 * len(STACKS) + 1
    assert fleet.changes() == ONCE, "an update was lost or done twice"
    assert fleet.states() == dict.fromkeys(STACKS, "done")
    assert fleet.records()[-1]["details"] == {"outcome": "complete"}


def test_what_an_approval_does_not_cover(fleet: RealFleet) -> None:
    (fleet.folder / "approval.json").rename(fleet.folder / "away.json")
    assert "is not approved" in fleet.rollout("run", code=2)
    assert "the plan's hash is" in fleet.rollout("approve", "0123456789", code=2)
    (fleet.folder / "away.json").rename(fleet.folder / "approval.json")
    first = fleet.git("rev-parse", "HEAD")

    fleet.commit("moved")
    assert f"commit: {first[:12]} was planned" in fleet.rollout("run", code=2)
    fleet.git("reset", "--quiet", "--hard", first)

    fleet.configure("b", size=2)
    assert "config of b changed" in fleet.rollout("run", code=2)
    fleet.git("checkout", "--quiet", ".")

    by_hand = fleet.pulumi("up", "--yes", "--skip-preview", "--stack", "c")
    fleet.ended(by_hand)
    assert "state of c changed: somebody updated it" in fleet.rollout("run", code=2)
    assert fleet.changes() == {"a": [], "b": [], "c": ["1"], "d": []}
    assert fleet.records() == []


def test_a_lock_that_another_holds_is_reported_and_never_broken(fleet: RealFleet) -> None:
    fleet.block("a", "b", "d")
    ours = fleet.start("run")
    fleet.until_begun("a", "b")
    other = fleet.pulumi("up", "--yes", "--skip-preview", "--stack", "d")
    fleet.until_begun("d")
    fleet.unblock("a", "b")
    said = fleet.ended(ours, 1)
    assert "the stack is currently locked by" in said
    assert "pulumi cancel --stack d" in said
    assert "next: talos-gpu rollout resume" in said
    assert fleet.states() == {"a": "done", "b": "done", "c": "done", "d": "failed"}
    fleet.unblock("d")
    fleet.ended(other)
    fleet.rollout("resume")
    assert fleet.states() == dict.fromkeys(STACKS, "done")
    assert fleet.changes() == ONCE


def test_a_lock_that_another_holds_is_waited_for_if_asked(fleet: RealFleet) -> None:
    fleet.write_rollout(stacks=[{"name": "a"}, {"name": "b"}], waves=[{"count": 1}], lock_wait_s=30)
    fleet.commit("waits")
    fleet.planned()
    fleet.block("a", "b")
    ours = fleet.start("run")
    fleet.until_begun("a")
    other = fleet.pulumi("up", "--yes", "--skip-preview", "--stack", "b")
    fleet.until_begun("b")
    fleet.unblock("a")
    fleet.until_said(ours, "waits: another holds the stack's lock")
    fleet.unblock("b")
    fleet.ended(ours)
    fleet.ended(other)
    assert fleet.changes() == {"a": ["1"], "b": ["1"], "c": [], "d": []}


def test_one_rollout_a_fleet_and_interrupted_once(fleet: RealFleet) -> None:
    fleet.block("a", "b")
    ours = fleet.start("run")
    fleet.until_begun("a", "b")
    assert "another rollout of this fleet holds the lock" in fleet.rollout("resume", code=2)
    fleet.interrupt(ours)
    fleet.until(lambda: fleet.records()[-1]["kind"] == "stop")
    fleet.unblock("a", "b")
    fleet.ended(ours, 1)
    assert fleet.states() == {"a": "done", "b": "done", "c": "not-started", "d": "not-started"}
    fleet.rollout("resume")
    assert fleet.changes() == ONCE


def test_interrupted_twice(fleet: RealFleet) -> None:
    fleet.block("a", "b")
    ours = fleet.start("run")
    fleet.until_begun("a", "b")
    fleet.interrupt(ours)
    fleet.until(lambda: fleet.records()[-1]["kind"] == "stop")
    fleet.interrupt(ours)
    fleet.until(lambda: any(record["kind"] == "interrupt" for record in fleet.records()))
    fleet.unblock("a", "b")
    fleet.ended(ours, 1)
    assert fleet.states() == {"a": "interrupted", "b": "interrupted", "c": "not-started", "d": "not-started"}
    fleet.rollout("resume")
    assert fleet.states() == dict.fromkeys(STACKS, "done")
    assert fleet.changes() == ONCE, "the engine had saved what it had done"


def test_a_killed_rollout_leaves_its_updates_running_and_a_resume_waits_for_them(fleet: RealFleet) -> None:
    fleet.block("a", "b")
    ours = fleet.start("run")
    fleet.until_begun("a", "b")
    ours.kill()
    fleet.ended(ours, -signal.SIGKILL)
    again = fleet.start("resume")
    fleet.until_said(again, "waits: an earlier rollout's update of it still runs")
    fleet.unblock("a", "b")
    fleet.ended(again)
    assert fleet.changes() == ONCE


def test_a_failed_gate_goes_back_to_the_last_good_commit(fleet: RealFleet) -> None:
    gate = {"name": "small", "command": ["sh", "-c", "test $(tail -n 1 ../$ROLLOUT_STACK.node) -lt 2 || exit 1"]}
    fleet.write_rollout(stacks=[{"name": "a"}], gates=[gate])
    fleet.commit("good")
    fleet.planned()
    fleet.rollout("run")
    fleet.configure("a", size=2)
    fleet.commit("bad")
    fleet.planned()
    assert "a: rolled-back: gate small failed: exit code 1" in fleet.rollout("run", code=1)
    assert fleet.changes()["a"] == ["1", "2", "1"]
    assert len(fleet.git("worktree", "list").splitlines()) == 1
