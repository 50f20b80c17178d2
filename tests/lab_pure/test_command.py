"""`python -m lab`, where no lab runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lab.cluster.control_plane import Ports
from lab.lab import Lab, Record
from lab.paths import PROJECT
from lab.report import Claim, Report, Verdict


def run(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "lab", *words],
        cwd=PROJECT,
        env={**os.environ, "TALOS_LAB_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    """A lab of which only the record is there."""
    monkeypatch.setenv("TALOS_LAB_HOME", str(tmp_path))
    made = Lab("lab", tmp_path / "bin")
    Record("10.5.0.0/24", Ports(*range(40000, 40005)), ("lab-1",), cluster=True).save(made.paths.record)
    return made


@pytest.mark.parametrize("command", ["exec", "kubectl"])
def test_options_after_the_command_belong_to_it(command: str, tmp_path: Path) -> None:
    done = run(tmp_path, command, "nvidia-ctk", "--help")
    assert (done.returncode, done.stdout) == (2, ""), "the lab's own help"
    assert "there is no lab 'lab'" in done.stderr


def test_a_reboot_of_a_node_that_cannot_be_asked_ends_with_a_sentence(lab: Lab) -> None:
    done = run(lab.paths.root.parent, "reboot")
    assert done.returncode == 2
    assert done.stderr.startswith(f"lab: {lab.paths.talosconfig}")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("verdict", "code"), [(Verdict.PROVEN, 0), (Verdict.FAILED, 1)])
def test_a_report_with_a_failed_claim_ends_with_1(lab: Lab, verdict: Verdict, code: int) -> None:
    Report([Claim("up", "it is up", verdict, "read")], {}, 1).save(lab.paths.root / "report.json")
    done = run(lab.paths.root.parent, "report", "--json")
    assert done.returncode == code
    assert json.loads(done.stdout)["claims"][0]["verdict"] == verdict
