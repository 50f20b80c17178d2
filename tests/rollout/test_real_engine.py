"""Four stacks on the real engine: the whole command, killed, locked out, made void, interrupted."""

from __future__ import annotations

import json
import re
import signal
import time

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

    edit(fleet)
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
    other = fleet.locked_by_another("d")
    said = fleet.rollout("run", code=1)
    assert "the stack is currently locked by" in said
    assert "pulumi cancel --stack d" in said
    assert "next: talos-gpu rollout resume" in said
    states = fleet.states()
    assert states["d"] == "failed"
    assert fleet.changes()["d"] == []
    fleet.let_go("d")
    fleet.ended(other)
    assert fleet.changes()["d"] == ["1"]
    assert "state of d changed: somebody updated it" in fleet.rollout("resume", code=2)


def test_a_lock_that_another_holds_is_waited_for_if_asked(fleet: RealFleet) -> None:
    fleet.ended(fleet.pulumi("up", "--yes", "--skip-preview", "--stack", "b"))
    fleet.configure("b", size=2)
    fleet.write_rollout(stacks=[{"name": "b"}], lock_wait_s=40)
    fleet.commit("waits")
    fleet.planned()
    other = fleet.locked_by_another("b")
    ours = fleet.start("run")
    fleet.until_said(ours, "waits: another holds the stack's lock")
    fleet.interrupt(other)
    other.wait(30)
    fleet.let_go("b")
    fleet.ended(ours)
    assert fleet.changes()["b"] == ["1", "2"]


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
    script = "size=$(tail -n 1 ../$ROLLOUT_STACK.node); echo measured: size $size lines; test $size -lt 2 || exit 1"
    gate = {"name": "small", "command": ["sh", "-c", script]}
    fleet.write_rollout(stacks=[{"name": "a"}], gates=[gate])
    (fleet.project / ".gitignore").write_text("__pycache__/\nnode.py\n")
    fleet.git("rm", "--quiet", "--cached", "node.py")  # what git ignores and the program needs is there all the same
    fleet.commit("good")
    fleet.planned()
    fleet.rollout("run")
    fleet.configure("a", size=2)
    fleet.commit("bad")
    fleet.planned()
    assert "a: rolled-back: gate small failed: measured: size 2 lines" in fleet.rollout("run", code=1)
    assert fleet.changes()["a"] == ["1", "2", "1"]
    assert "| a | small: size | 1 | 2 | lines |" in fleet.rollout("report")
    assert len(fleet.git("worktree", "list").splitlines()) == 1


def test_what_moves_while_it_runs_is_not_rolled_out(fleet: RealFleet) -> None:
    fleet.block("a", "b")
    ours = fleet.start("run")
    fleet.until_begun("a", "b")
    edit(fleet)
    fleet.until(lambda: time.time() > fleet.records()[0]["at"] + 4)  # what was just compared is believed for a moment
    fleet.unblock("a", "b")
    said = fleet.ended(ours, 1)
    assert "not as it was approved any more: commit: " in said
    assert "next: talos-gpu rollout plan" in said
    states = fleet.states()
    assert (states["a"], states["b"]) == ("done", "done")
    assert {states["c"], states["d"]} <= {"failed", "not-started"}
    assert fleet.changes() == {"a": ["1"], "b": ["1"], "c": [], "d": []}
    assert "commit: " in fleet.rollout("resume", code=2)


def test_the_whole_fleet_is_planned_and_every_fault_is_told(fleet: RealFleet) -> None:
    fleet.configure("b", size=2)
    path = fleet.project / "Pulumi.c.yaml"
    path.write_text(path.read_text().replace("trial:size: '1'", "trial:size: many"))
    path = fleet.project / "Pulumi.d.yaml"
    path.write_text(path.read_text().replace("v1.11.1", "v1.99.0"))
    fleet.write_rollout(preflight=["settings"])
    fleet.commit("faults")
    said = fleet.rollout("plan", code=1)
    assert "| a | default | no | - | - | create node |" in said
    faults = said.partition("## Faults: this plan cannot be approved")[2]
    assert "c: `pulumi preview --stack c` failed" in faults
    assert "d: the stack's settings have 1 fault" in faults
    assert "the plan has faults" in fleet.rollout("approve", _hash(said), code=2)
    assert fleet.changes() == {stack: [] for stack in STACKS}


def test_a_live_table_on_a_terminal_and_events_elsewhere(fleet: RealFleet) -> None:
    fleet.write_rollout(stacks=[{"name": "a"}, {"name": "b"}], waves=[{"count": 1, "name": "canary"}], holds=["b"])
    fleet.commit("few")
    fleet.planned()
    drawn = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", fleet.on_a_terminal("run"))
    assert re.search(r"stack +wave +step +time +last line", drawn)
    assert re.search(r"a +canary +update +0:\d\d", drawn)
    assert re.search(r"a +canary +done", drawn)
    assert "1 done, 1 held" in drawn
    assert "next: talos-gpu rollout plan" in drawn, "the hold is in rollout.yaml"
    said = fleet.rollout("resume", "--json")
    events = [json.loads(line) for line in said.splitlines()]
    assert [event for event in events if event["kind"] in ("final", "finished")] == [
        event for event in fleet.records() if event["kind"] in ("final", "finished")
    ][2 + 1 :]


def test_abort_asks_the_process_that_works_on_it(fleet: RealFleet) -> None:
    fleet.block("a", "b")
    ours = fleet.start("run")
    fleet.until_begun("a", "b")
    assert fleet.rollout("abort") == f"asked process {ours.pid} to finish what is in work and stop\n"
    fleet.until(lambda: fleet.records()[-1]["kind"] == "stop")
    fleet.unblock("a", "b")
    fleet.ended(ours, 1)
    assert fleet.states() == {"a": "done", "b": "done", "c": "not-started", "d": "not-started"}


def test_a_gate_that_hangs_is_interrupted_with_the_rest(fleet: RealFleet) -> None:
    gate = {"name": "hangs", "command": ["sh", "-c", "touch ../$ROLLOUT_STACK.asked; sleep 600"]}
    fleet.write_rollout(stacks=[{"name": "a"}], gates=[gate])
    fleet.commit("hangs")
    fleet.planned()
    ours = fleet.start("run")
    fleet.until((fleet.root / "a.asked").exists)
    fleet.interrupt(ours)
    fleet.until(lambda: fleet.records()[-1]["kind"] == "stop")
    fleet.interrupt(ours)
    fleet.ended(ours, 1)
    assert fleet.states() == {"a": "interrupted"}


def test_a_report_in_the_project_makes_no_approval_void(fleet: RealFleet) -> None:
    broken = fleet.node("a").with_suffix(".broken")
    broken.touch()
    assert "a: failed" in fleet.rollout("run", code=1)
    broken.unlink()
    assert "warning" not in fleet.rollout("report", "--html", "report.html")
    fleet.git("commit", "--quiet", "--allow-empty", "--message", "changes no file")
    fleet.rollout("resume")
    assert (fleet.project / "report.html").exists()
    assert fleet.states() == dict.fromkeys(STACKS, "done")
    said = fleet.rollout("report", "--html", "page.html")
    assert f"warning: {fleet.project}/page.html lies in the project and git does not ignore it" in said


def edit(fleet: RealFleet) -> None:
    """Commit a change of the program that does nothing."""
    with (fleet.project / "node.py").open("a") as file:
        file.write("# moved\n")
    fleet.commit("moved")


def _hash(said: str) -> str:
    match = re.search(r"# Plan ([0-9a-f]{12}):", said)
    assert match
    return match[1]
