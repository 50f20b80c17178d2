"""The closing table: what a program reads and what a person sees."""

from __future__ import annotations

import io
import json
from pathlib import Path

from rich.console import Console

from lab.report import Claim, Report, Verdict

CLAIMS = [
    Claim("spec", "hooks run past the wrapper", Verdict.PROVEN, "every hook runs nvidia-cdi-hook.real"),
    Claim("smi", "nvidia-smi names the GPU", Verdict.PRETENDED, "Quadro P2000"),
]


def test_a_report_survives_its_file(tmp_path: Path) -> None:
    report = Report(CLAIMS, {"kubernetes": "stand-in", "talos": "official"}, 61.25)
    report.save(tmp_path / "report.json")
    assert Report.load(tmp_path / "report.json") == Report(
        CLAIMS, {"kubernetes": "stand-in", "talos": "official"}, 61.2
    )
    assert json.loads((tmp_path / "report.json").read_text())["claims"][0] == {
        "id": "spec",
        "claim": "hooks run past the wrapper",
        "verdict": "proven",
        "evidence": "every hook runs nvidia-cdi-hook.real",
    }


def test_no_report_before_the_first_up(tmp_path: Path) -> None:
    assert Report.load(tmp_path / "report.json") is None


def test_one_failed_claim_fails_the_report() -> None:
    assert not Report(CLAIMS, {}, 1).failed
    assert Report([*CLAIMS, Claim("x", "y", Verdict.FAILED, "z")], {}, 1).failed


def test_the_table_says_what_was_pretended_and_by_which_plugins() -> None:
    out = io.StringIO()
    Report(CLAIMS, {"kubernetes": "stand-in", "talos": "official"}, 1).show(Console(file=out, width=100))
    said = out.getvalue()
    assert "proven" in said
    assert "pretended" in said
    assert "stand-ins: kubernetes." in said
    assert "Pretended: the GPU and its driver libraries, Talos itself, Tdarr itself." in said


def test_what_programs_said_is_shown_to_the_letter() -> None:
    out = io.StringIO()
    said = "update [diff: -drift_edited] in [/var/run/cdi]"
    Report([Claim("quiet", "nothing [moves]", Verdict.FAILED, said)], {}, 1).show(Console(file=out, width=160))
    assert said in out.getvalue()
    assert "nothing [moves]" in out.getvalue()
