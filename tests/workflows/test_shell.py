"""The shell in the workflows, run as the runner does; `gh` and `pulumi` are scripts that write down what they hear."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.workflows.steps import jobs


def script(workflow: str, job: str, name: str) -> str:
    [found] = [step["run"] for step in jobs(workflow)[job]["steps"] if step.get("name") == name]
    return str(found)


def run(text: str, folder: Path, tools: dict[str, str], **variables: str) -> list[str]:
    """Run a step's script by the runner's own words for bash; what the tools were told, a line each."""
    programs = folder / "programs"
    programs.mkdir(exist_ok=True)
    told = folder / "told"
    told.unlink(missing_ok=True)
    for name, body in tools.items():
        (programs / name).write_text(f'#!/bin/sh\necho "{name} $*" >> "{told}"\n{body}\n')
        (programs / name).chmod(0o755)
    (folder / "step.sh").write_text(text)
    environment = {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", **variables}
    subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "step.sh"], cwd=folder, env=environment, check=True
    )
    return told.read_text().splitlines()


LIST = 'gh issue list --state open --search in:title "Drift of the GPU nodes" --json number --jq .[0].number'


@pytest.mark.parametrize(
    ("open_issue", "then"),
    [
        ("", "gh issue create --title Drift of the GPU nodes --body-file drift.md"),
        ("17", "gh issue edit 17 --body-file drift.md"),
    ],
)
def test_drift_opens_one_issue_or_updates_it(tmp_path: Path, open_issue: str, then: str) -> None:
    gh = f'[ "$2" != list ] || echo "{open_issue}"'
    assert run(script("drift", "drift", "One issue"), tmp_path, {"gh": gh}) == [LIST, then]


def test_every_stack_is_refreshed_though_one_has_drifted(tmp_path: Path) -> None:
    output = tmp_path / "output"
    output.touch()
    step = script("drift", "drift", "Refresh, previewed only")
    told = run(
        step, tmp_path, {"pulumi": 'case "$*" in *" b") exit 7;; esac'}, STACKS="a b c", GITHUB_OUTPUT=str(output)
    )
    words = "pulumi refresh --preview-only --expect-no-changes --non-interactive --stack"
    assert told == [f"{words} {stack}" for stack in "abc"]
    assert output.read_text() == "drift=yes\n"


def test_a_preview_is_one_comment(tmp_path: Path) -> None:
    told = run(script("preview", "preview", "Comment"), tmp_path, {"gh": ""}, NUMBER="5")
    assert told == ["gh pr comment 5 --edit-last --create-if-none --body-file preview.md"]
