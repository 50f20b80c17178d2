"""The shell in the workflows, run as the runner does; `gh` and `pulumi` are scripts that write down what they hear."""

from __future__ import annotations

import base64
import io
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from tests.workflows.steps import jobs, script


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
    return told.read_text().splitlines() if told.exists() else []


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


def test_without_stacks_the_drift_workflow_fails_and_says_what_to_set(tmp_path: Path) -> None:
    """Green without having looked would be taken for no drift."""
    step = script("drift", "drift", "Refresh, previewed only")
    done = subprocess.run(
        ["bash", "-e", "-c", step],
        env={"STACKS": "", "PATH": "/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "set the variable GPU_STACKS" in done.stderr


def test_a_preview_is_one_comment(tmp_path: Path) -> None:
    told = run(script("preview", "preview", "Comment"), tmp_path, {"gh": ""}, NUMBER="5")
    assert told == ["gh pr comment 5 --edit-last --create-if-none --body-file preview.md"]


def test_the_files_of_the_stacks_are_unpacked_where_they_are_named(tmp_path: Path) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        entry = tarfile.TarInfo("configs/worker.yaml")
        entry.size = 5
        archive.addfile(entry, io.BytesIO(b"a: b\n"))
    files = base64.b64encode(packed.getvalue()).decode()
    run(script("preview", "preview", "Base machine configs and talosconfig"), tmp_path, {}, PREVIEW_FILES=files)
    assert (tmp_path / "configs/worker.yaml").read_text() == "a: b\n"


@pytest.mark.parametrize(
    ("workflow", "name", "told"),
    [
        (
            "preview",
            "The locked environments, the program's and the policy pack's",
            ["make env", "uv sync --locked --project policy"],
        ),
        ("drift", "The locked environment", ["make env"]),
    ],
)
def test_the_environments_are_the_locked_ones_and_their_tools_are_found(
    tmp_path: Path, workflow: str, name: str, told: list[str]
) -> None:
    (tmp_path / ".tools/bin").mkdir(parents=True)
    (tmp_path / ".tools/bin/uv").symlink_to(tmp_path / "programs/uv")
    path = tmp_path / "path"
    step = script(workflow, workflow, name)
    assert run(step, tmp_path, {"make": "", "uv": ""}, GITHUB_PATH=str(path), PWD=str(tmp_path)) == told
    assert path.read_text() == f"{tmp_path}/.tools/bin\n"


def test_a_fork_is_told_why_it_has_no_preview(tmp_path: Path) -> None:
    [step] = jobs("preview")["fork"]["steps"]
    run(step["run"], tmp_path, {}, GITHUB_STEP_SUMMARY=str(tmp_path / "summary"))
    assert "a pull request from a fork gets no secrets" in (tmp_path / "summary").read_text()


def test_a_release_has_wheel_checksums_and_notes(tmp_path: Path) -> None:
    (tmp_path / "dist").mkdir()
    (tmp_path / "dist/a.whl").touch()
    told = run(script("release", "release", "Release"), tmp_path, {"gh": ""}, GITHUB_REF_NAME="v1.2.3")
    words = "--verify-tag --title v1.2.3 --notes-file notes.md"
    assert told == [f"gh release create v1.2.3 dist/a.whl dist/SHA256SUMS {words}"]
