"""The doctor's words in a rollout: asked right after a step failed, in its cause and in the report."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from talos_gpu.doctor.finding import Diagnosis, Finding, Lacks, NotRun, Severity
from talos_gpu.rollout.diagnosis import Told, look, told, with_words
from talos_gpu.rollout.model import Gate
from talos_gpu.rollout.processes import Processes
from talos_gpu.rollout.pulumi_cli import Pulumi
from talos_gpu.rollout.records import Step
from talos_gpu.rollout.runner import Ended

MISSING = Finding(
    "device-node-missing", Severity.ERROR, "/dev lacks nvidia0", "It is gone.", "reboot the node", "extensions"
)
FAILED = Ended("a", Step.GATES, ok=False, reason="gate-failed", cause="gate encode failed", details={"seconds": 1.0})


def finding(check: str, severity: Severity, explained_by: str = "") -> Finding:
    return Finding(check, severity, "seen", "cause", "remedy", "source", explained_by)


def test_what_the_doctor_found_is_in_the_cause_and_whole_in_the_details() -> None:
    ended = with_words(FAILED, Told([MISSING]))
    assert ended.cause == (
        "gate encode failed\ndoctor: device-node-missing: It is gone. (/dev lacks nvidia0); reboot the node"
    )
    [shown] = ended.details["doctor"]
    assert (shown["check"], shown["severity"], ended.details["seconds"]) == ("device-node-missing", "error", 1.0)


@pytest.mark.parametrize(
    ("diagnosis", "says"),
    [
        (Diagnosis("lab-1", (), (), 40), "doctor: nothing wrong found"),
        (
            Diagnosis("", (), (NotRun("x", "no access"), NotRun("y", "no access")), 0),
            "doctor: could not look: no access",
        ),
        (
            Diagnosis("", (), (NotRun("x", "cluster/pods.json: no access", Lacks.EVIDENCE), NotRun("y", "meta: z")), 4),
            "doctor: could not look: no access",
        ),
        (
            Diagnosis("", (), (NotRun("x", "host/x: needs role os:admin", Lacks.RIGHTS),), 40),
            "doctor: nothing wrong found",
        ),
    ],
)
def test_nothing_found_is_told_from_nothing_looked_at(diagnosis: Diagnosis, says: str) -> None:
    assert with_words(FAILED, told(diagnosis)).cause == f"gate encode failed\n{says}"


def test_errors_come_before_warnings_and_roots_alone_count() -> None:
    error, warning = finding("e", Severity.ERROR), finding("w", Severity.WARNING)
    below, note = finding("b", Severity.ERROR, explained_by="w"), finding("n", Severity.NOTE)
    assert told(Diagnosis("", (warning, below, error, note), (), 1)).findings == [error]
    assert told(Diagnosis("", (warning, below, note), (), 1)).findings == [warning]
    assert told(Diagnosis("", (note,), (), 1)) == Told()


def test_a_warning_does_not_hide_that_nothing_could_be_looked_at() -> None:
    blind = NotRun("x", "cluster/pods.json: no access", Lacks.EVIDENCE)
    found = with_words(FAILED, told(Diagnosis("", (finding("w", Severity.WARNING),), (blind,), 1)))
    assert found.cause.splitlines()[1:] == ["doctor: w: cause (seen); remedy", "doctor: could not look: no access"]
    assert [one["check"] for one in found.details["doctor"]] == ["w"]


def test_settings_that_cannot_be_read_are_no_crash(tmp_path: Path) -> None:
    assert "Pulumi.a.yaml" in look("a", tmp_path / "Pulumi.a.yaml").unable


def test_only_a_step_whose_cause_may_be_the_nodes_asks_the_doctor(tmp_path: Path) -> None:
    asked: list[tuple[str, Path]] = []

    def doctor(stack: str, file: Path) -> Told:
        asked.append((stack, file))
        return Told([MISSING])

    def ended(*command: str) -> Ended:
        gate = Gate(name="own", command=command)
        pulumi = Pulumi(tmp_path, tmp_path, sys.executable, {})
        runner = Processes(
            pulumi, tmp_path, (gate,), lambda _: 0.0, 0.0, refresh=False, roll_back=lambda _: pulumi, diagnose=doctor
        )
        runner.begin("a", Step.GATES)
        while not isinstance(found := runner.wait(None), Ended):
            pass
        return found

    assert ended("true").ok
    assert asked == []
    failed = ended("false")
    assert (failed.reason, asked) == ("gate-failed", [("a", tmp_path / "Pulumi.a.yaml")])
    assert failed.cause.splitlines()[1].startswith("doctor: device-node-missing: It is gone.")
