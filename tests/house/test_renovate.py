"""renovate.json finds what is pinned: its patterns match the places in the tree, and nothing is out of its sight."""

from __future__ import annotations

import json
import re
import tomllib
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

from lab import tools

ROOT = Path(__file__).parents[2]
CONFIG: dict[str, Any] = json.loads((ROOT / "renovate.json").read_text())
MANAGERS: list[dict[str, Any]] = CONFIG["customManagers"]
STACKS = sorted(path.name for path in ROOT.glob("Pulumi.*.yaml"))


def pattern(text: str) -> re.Pattern[str]:
    """A pattern of Renovate's (RE2) in Python's spelling; RE2 knows no look-around."""
    assert not re.search(r"\(\?<?[=!]", text), text
    return re.compile(text.replace("(?<", "(?P<"), re.MULTILINE)


def found() -> set[tuple[str, str, str]]:
    """File, name and version of everything that a custom manager finds at the project's top and in lab/."""
    files = [path for path in (*ROOT.iterdir(), *(ROOT / "lab").iterdir()) if path.is_file()]
    seen = set()
    for manager in MANAGERS:
        globs = [pattern(word.strip("/")) for word in manager["managerFilePatterns"]]
        for path in files:
            where = path.relative_to(ROOT).as_posix()
            if any(one.search(where) for one in globs):
                for text in manager["matchStrings"]:
                    for match in pattern(text).finditer(path.read_text()):
                        got = match.groupdict()
                        seen.add((where, got.get("depName") or manager["depNameTemplate"], got["currentValue"]))
    return seen


def rules(name: str) -> dict[str, Any]:
    """What the package rules make of a dependency, by its name alone."""
    settled: dict[str, Any] = {}
    for rule in CONFIG["packageRules"]:
        if any(fnmatchcase(name, glob.replace("**", "*")) for glob in rule.get("matchDepNames", ())):
            settled |= rule
    return settled


def test_it_finds_every_image_of_every_stack() -> None:
    images = {
        (stack, *line.split("image:")[1].strip().rsplit(":", 1))
        for stack in STACKS
        for line in (ROOT / stack).read_text().splitlines()
        if "image:" in line
    }
    assert images
    assert images <= found()
    assert rules("lab.local/tdarr-node")["enabled"] is False
    assert "enabled" not in rules("ghcr.io/haveagitgat/tdarr_node")


def test_a_digest_behind_the_tag_is_seen() -> None:
    digest = "sha256:" + "a" * 64
    [text] = MANAGERS[0]["matchStrings"]
    match = pattern(text).search(f"  talos-nvidia-cdi:cdi:\n    image: docker.io/library/debian:12-slim@{digest}\n")
    assert match
    assert match.groupdict() == {
        "depName": "docker.io/library/debian", "currentValue": "12-slim", "currentDigest": digest,
    }  # fmt: skip


def test_it_finds_the_programs_that_no_other_manager_knows() -> None:
    [uv] = re.findall(r"^uv_version=(.*)$", (ROOT / "bootstrap.sh").read_text(), re.MULTILINE)
    assert found() >= {
        ("bootstrap.sh", "uv", uv),
        ("lab/tools.py", "k8s.io/kubernetes", tools.KUBERNETES),
        ("lab/tools.py", "github.com/pulumi/pulumi/pkg/v3", tools.PULUMI),
    }


@pytest.mark.parametrize("module", ["k8s.io/kubernetes", "github.com/pulumi/pulumi/pkg/v3"])
def test_the_number_in_two_files_is_one_and_moves_in_one_change(module: str) -> None:
    [path] = [p for p in (ROOT / "lab/upstream").glob("*/go.mod") if f" {module} v" in p.read_text().replace("\t", " ")]
    [release] = re.findall(rf"{re.escape(module)} v([0-9.]+)", path.read_text())
    assert release in {tools.KUBERNETES, tools.PULUMI}
    assert rules(module)["groupName"]
    indirect = next(rule for rule in CONFIG["packageRules"] if rule.get("matchDepTypes") == ["indirect"])
    assert module in indirect["matchDepNames"]


def test_what_stays_with_talos_1_11_is_named_by_files_that_are_there() -> None:
    frozen = next(rule for rule in CONFIG["packageRules"] if "lab/node/go.mod" in rule.get("matchFileNames", ()))
    assert frozen["enabled"] is False
    for glob in frozen["matchFileNames"]:
        assert list(ROOT.glob(glob)), glob


def test_no_pinned_file_is_out_of_sight() -> None:
    """`config:recommended` ignores tests/, where go.mod files are."""
    modules = [p for p in ROOT.rglob("go.mod") if not {".venv", ".tools"} & set(p.relative_to(ROOT).parts)]
    assert any("tests" in path.parts for path in modules)
    for path in modules:
        assert not any(fnmatchcase(path.relative_to(ROOT).as_posix(), glob) for glob in CONFIG["ignorePaths"])


def test_every_pin_of_python_is_exact() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    pins = [*project["project"]["dependencies"], *(pin for g in project["dependency-groups"].values() for pin in g)]
    assert [pin for pin in pins if not re.fullmatch(r"[\w.-]+==[\w.]+", pin)] == []
