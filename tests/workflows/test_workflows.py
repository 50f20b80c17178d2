"""The workflows: judged by actionlint, pinned, with least permissions, without secrets for forks."""

from __future__ import annotations

import os
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

from lab.toolchain import go_program
from tests.policy.conftest import SYNC
from tests.workflows.steps import FILES, FOLDER, ROOT, jobs, lines, workflow

PINS = {
    "actions/checkout": ("11bd71901bbe5b1630ceea73d27597364c9af683", "v4.2.2"),
    "pulumi/actions": ("8e5e406f4007fca908480587cb9893c07090f58d", "v7.0.0"),
}
"""Every action that is used: its commit, and the release that it is."""
NAMES = [path.stem for path in FILES]
_USES = re.compile(r"^\s*-?\s*uses: (\S+)@([0-9a-f]{40}) # (v[\d.]+)$", re.MULTILINE)


@pytest.fixture(scope="session")
def actionlint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The linter, built from its pinned module."""
    program = tmp_path_factory.mktemp("actionlint") / "actionlint"
    subprocess.run(
        [go_program(), "build", "-mod=readonly", "-o", program, "github.com/rhysd/actionlint/cmd/actionlint"],
        cwd=Path(__file__).parent / "actionlint",
        env=dict(os.environ, CGO_ENABLED="0", GOTOOLCHAIN="local", GOFLAGS=""),
        check=True,
    )
    return program


def lint(program: Path, *files: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([program, "-no-color", *files], cwd=ROOT, capture_output=True, text=True, check=False)


def test_actionlint_finds_nothing(actionlint: Path, tmp_path: Path) -> None:
    done = lint(actionlint, *FILES)
    assert (done.returncode, done.stdout) == (0, "")
    broken = tmp_path / "broken.yml"
    broken.write_text((FOLDER / "test.yml").read_text().replace("runs-on:", "run-on:"))
    assert lint(actionlint, broken).returncode == 1


def test_every_action_is_pinned_by_commit() -> None:
    for path in FILES:
        text = path.read_text()
        found = _USES.findall(text)
        assert len(found) == len(re.findall(r"\buses:", text)), path.name
        for name, commit, release in found:
            assert PINS[name] == (commit, release)


@pytest.mark.parametrize("name", NAMES)
def test_permissions_are_the_least(name: str) -> None:
    document = workflow(name)
    assert document["permissions"] in ({}, {"contents": "read"})
    writes = {
        (job, right)
        for job, body in document["jobs"].items()
        for right, level in body.get("permissions", {}).items()
        if level != "read"
    }
    allowed = {"preview": {("preview", "pull-requests")}, "drift": {("drift", "issues")}}
    assert writes <= allowed.get(name, {("release", "contents")})
    for body in document["jobs"].values():
        for step in body["steps"]:
            if "actions/checkout" in step.get("uses", ""):
                assert step["with"]["persist-credentials"] is False
        assert body["timeout-minutes"] <= 90


def test_the_engine_is_installed_in_the_locked_version_by_an_action_that_gets_no_secret() -> None:
    locked = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]["program"]
    used = 0
    for name in NAMES:
        for job in jobs(name).values():
            steps = [step for step in job["steps"] if step.get("uses", "").startswith("pulumi/actions@")]
            used += len(steps)
            for step in steps:
                version = step["with"].pop("pulumi-version")
                assert f"pulumi=={version}" in locked
                assert step["with"] == {"github-token": ""}
                assert "env" not in step
                assert "secrets." not in str(job.get("env"))
    assert used == 2


@pytest.mark.parametrize("name", NAMES)
def test_a_fork_gets_no_secret(name: str) -> None:
    triggers: Any = workflow(name)[True]  # type: ignore[index]
    assert "pull_request_target" not in triggers
    if "pull_request" not in triggers:
        return
    ours = "github.event.pull_request.head.repo.full_name == github.repository"
    for job, body in jobs(name).items():
        assert not re.search(r"\$\{\{ *secrets\.", str(body)) or body["if"] == ours, job
        assert "write" not in str(body.get("permissions", {})) or body["if"] == ours, job


@pytest.mark.parametrize("name", NAMES)
def test_no_value_of_an_event_is_spliced_into_a_command(name: str) -> None:
    assert [line for line in lines(name) if "${{" in line] == []


RUN_BY = {
    "make env": "this file, and `make test` itself",
    "sudo make test": "this file",
    "pure": "this file: the words of `make test-pure`",
    "System packages and the programs that the tests call": "`make test` itself",
    "The locked environments, the program's and the policy pack's": "test_shell.py",
    "The locked environment": "test_shell.py",
    "Base machine configs and talosconfig": "test_shell.py",
    "Preview": "../preview/test_real_engine.py",
    "Comment": "test_shell.py",
    "Refresh, previewed only": "test_shell.py, ../preview/test_real_engine.py",
    "What moved": "../preview/test_real_engine.py",
    "One issue": "test_shell.py",
    "fork": "test_shell.py",
    "Notes": "test_release.py",
    "Wheel": "test_release.py",
    "Checksums": "test_release.py",
    "Release": "test_shell.py",
}
"""Where each step is run as it stands; a step without a name by its command, else by its job."""


def test_every_step_is_run_by_a_test() -> None:
    names = set()
    for name in NAMES:
        for job, body in jobs(name).items():
            for step in body["steps"]:
                if run := step.get("run"):
                    unnamed = run if run in RUN_BY else job
                    names.add(step.get("name", unnamed))
    assert names == set(RUN_BY)


def test_the_steps_are_commands_that_are_run_elsewhere() -> None:
    """`talos-gpu` and `pulumi` lines: tests/preview/test_real_engine.py runs them as they stand."""
    first, *_, last = lines("test")
    assert first == "sudo make test"
    pure = (ROOT / "Makefile").read_text().partition("\ntest-pure:")[2].partition("-m pytest ")[2].partition("\n")[0]
    assert last == f".venv/bin/python -m pytest {pure}"
    assert "make test" in (ROOT / "README.md").read_text()
    assert (ROOT / ".ci/run").read_text().rstrip().endswith("exec make test")
    for name in ("preview", "drift"):
        assert "make env" in list(lines(name))
    assert " ".join(SYNC) in list(lines("preview"))
