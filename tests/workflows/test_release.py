"""What release.yml runs: notes, wheel, checksums."""

from __future__ import annotations

import os
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.workflows.steps import ROOT, lines, script

NOTES = runpy.run_path(str(ROOT / ".github/release_notes.py"))
CHANGELOG = """\
# Changelog

## [Unreleased]

## [1.1.0] - 2026-02-01

### Added
- b

## [1.0.0] - 2026-01-01

- a
"""


def test_the_notes_are_the_versions_section() -> None:
    assert NOTES["section"](CHANGELOG, "1.1.0") == "### Added\n- b\n"
    assert NOTES["section"](CHANGELOG, "1.0.0") == "- a\n"
    for version in ("1.2.0", "Unreleased", "1.0"):
        with pytest.raises(LookupError, match="has nothing under"):
            NOTES["section"](CHANGELOG, version)


def test_the_step_takes_the_version_from_the_tag(tmp_path: Path) -> None:
    version = NOTES["wheel_version"]()
    (tmp_path / ".github").mkdir()
    shutil.copy(ROOT / ".github/release_notes.py", tmp_path / ".github")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "CHANGELOG.md").write_text(f"# Changelog\n\n## [{version}] - 2026-01-01\n\n- a\n")
    (tmp_path / ".venv").symlink_to(sys.prefix)
    step = script("release", "release", "Notes")
    environment = {"PATH": os.environ["PATH"], "GITHUB_REF_NAME": f"v{version}"}
    subprocess.run(["bash", "-eo", "pipefail", "-c", step], cwd=tmp_path, env=environment, check=True)
    assert (tmp_path / "notes.md").read_text() == "- a\n"


def test_another_tag_than_the_wheels_version_is_refused() -> None:
    words = [sys.executable, ".github/release_notes.py", "99.0.0"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "99.0.0 is tagged, and pyproject.toml says" in done.stderr


def test_the_wheel_is_built_runs_and_has_its_checksum(tmp_path: Path) -> None:
    project = tmp_path / "project"
    shutil.copytree(ROOT / "talos_gpu", project / "talos_gpu", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, project)
    build = next(line for line in lines("release") if " build " in line)
    program, *words = build.split()
    subprocess.run([ROOT / program, *words, "--quiet"], cwd=project, check=True)
    [wheel] = (project / "dist").glob("*.whl")
    sums = next(line for line in lines("release") if line.startswith("sha256sum"))
    subprocess.run(["sh", "-c", sums], cwd=project / "dist", check=True)
    subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=project / "dist", check=True)
    installed = tmp_path / "installed"
    shutil.unpack_archive(wheel, installed, "zip")
    # its own files and the locked dependencies, none of this checkout's
    code = (
        "import sys; sys.argv[1:] = ['schema']; import talos_gpu.cli as c; assert 'installed' in c.__file__; c.main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env={"PYTHONPATH": str(installed)}, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode() == (ROOT / "schemas/stack.json").read_text()
