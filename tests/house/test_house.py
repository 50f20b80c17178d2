"""What people look for at the top of a repository is there, and says what is so."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
FORMS = sorted((ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml"))
SKIPPED = {".git", ".venv", ".tools", ".site", "__pycache__", "dist"}
RECORDED = ("tests/fixtures/", "docs/evidence/", "lab/engine/talos/")
"""As .editorconfig has it."""


def tracked() -> list[Path]:
    """The text files of the tree: what git has, or everything where there is no git."""
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    names = done.stdout.split("\0")[:-1] if done.returncode == 0 else [
        path.relative_to(ROOT).as_posix()
        for path in ROOT.rglob("*")
        if path.is_file() and not SKIPPED & set(path.relative_to(ROOT).parts)
    ]  # fmt: skip
    files = [ROOT / name for name in names]
    return [path for path in files if path.is_file() and b"\0" not in path.read_bytes()]


def test_no_stack_file_of_ours_carries_a_salt() -> None:
    """A `pulumi` run in the checkout writes one: everybody else's passphrase is then told to be wrong."""
    files = [path for path in tracked() if path.parent == ROOT and re.fullmatch(r"Pulumi\..+\.yaml", path.name)]
    assert {path.name for path in files} >= {"Pulumi.talos05.yaml", "Pulumi.lab.yaml"}
    assert not [path.name for path in files if "encryptionsalt" in yaml.safe_load(path.read_text())]


def test_the_licence_is_whole_and_is_the_one_that_the_package_names() -> None:
    text = (ROOT / "LICENSE").read_text()
    assert "Version 2.0, January 2004" in text
    assert [int(n) for n in re.findall(r"^   (\d+)\. ", text, re.MULTILINE)] == list(range(1, 10))
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["license"] == "Apache-2.0"


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_an_issue_form_is_one_that_the_forge_takes(path: Path) -> None:
    form: dict[str, Any] = yaml.safe_load(path.read_text())
    if path.stem == "config":
        assert form == {"blank_issues_enabled": False}
        return
    assert {"name", "description", "body"} <= form.keys()
    fields = [field for field in form["body"] if field["type"] != "markdown"]
    assert {field["type"] for field in fields} <= {"input", "textarea", "dropdown", "checkboxes"}
    assert len({field["id"] for field in fields}) == len(fields)
    assert all(field["attributes"]["label"] for field in fields)
    assert "talos-gpu doctor STACK --save FOLDER" in path.read_text()


def test_a_report_cannot_be_sent_without_the_doctors_evidence() -> None:
    form = yaml.safe_load((ROOT / ".github/ISSUE_TEMPLATE/broken.yml").read_text())
    evidence = next(field for field in form["body"] if field.get("id") == "evidence")
    assert evidence["validations"]["required"] is True
    help_text = _run(sys.executable, "-m", "talos_gpu", "doctor", "--help")
    assert "--save" in help_text


def test_the_hooks_are_valid_and_run_the_projects_own_targets() -> None:
    _run(str(Path(sys.executable).with_name("pre-commit")), "validate-config", ".pre-commit-config.yaml")
    [repo] = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert repo["repo"] == "local"
    for hook in repo["hooks"]:
        make, target = hook["entry"].split()
        assert (make, hook["language"]) == ("make", "system")
        assert target in targets


def test_every_text_file_keeps_to_the_editors_rules() -> None:
    faults = []
    for path in tracked():
        where, data = path.relative_to(ROOT).as_posix(), path.read_bytes()
        if where.startswith(RECORDED) or not data:
            continue
        if b"\r\n" in data:
            faults.append(f"{where}: CRLF")
        if not data.endswith(b"\n"):
            faults.append(f"{where}: no newline at the end")
        faults += [
            f"{where}:{n}: blanks at the end"
            for n, line in enumerate(data.split(b"\n"), 1)
            if line[-1:] in b" \t" and line
        ]
    assert faults == []


def test_renovate_is_strict_json_without_a_key_twice() -> None:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        assert len({key for key, _ in pairs}) == len(pairs), pairs
        return dict(pairs)

    json.loads((ROOT / "renovate.json").read_text(), object_pairs_hook=once)


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "SECURITY.md"])
def test_what_the_pages_name_is_there(page: str) -> None:
    text = (ROOT / page).read_text()
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"`make ([a-z-]+)`", text)) <= targets
    for link in re.findall(r"\]\(([^)#]+)", text):
        assert (ROOT / link).exists(), link


def _run(*words: str) -> str:
    environment = dict(os.environ, NO_COLOR="1", COLUMNS="200", PRE_COMMIT_HOME="/nonexistent")
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
