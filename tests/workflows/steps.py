"""The workflows' steps, so that tests run the very words of them."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / ".github/workflows"
FILES = sorted(FOLDER.glob("*.yml"))
TALOS_GPU = (".venv/bin/python", "-m", "talos_gpu")


def workflow(name: str) -> dict[str, Any]:
    """A workflow; its `on` is the key True to YAML 1.1."""
    document: dict[str, Any] = yaml.safe_load((FOLDER / f"{name}.yml").read_text())
    return document


def jobs(name: str) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = workflow(name)["jobs"]
    return found


def lines(name: str) -> Iterator[str]:
    """Every line that a workflow runs."""
    for job in jobs(name).values():
        for step in job["steps"]:
            yield from (line.strip() for line in str(step.get("run", "")).splitlines())


def script(name: str, job: str, step: str) -> str:
    """What a step of a workflow runs."""
    [found] = [each["run"] for each in jobs(name)[job]["steps"] if each.get("name") == step]
    return str(found)


def talos_gpu(name: str, *stacks: str) -> list[str]:
    """The words after `talos-gpu` of the one line of a workflow that runs it, STACKS set to these."""
    [words] = [shlex.split(line) for line in lines(name) if line.startswith(TALOS_GPU[0])]
    assert tuple(words[:3]) == TALOS_GPU
    assert words.count("$STACKS") == 1
    at = words.index("$STACKS")
    return [*words[3:at], *stacks, *words[at + 1 :]]


def pulumi(name: str) -> list[str]:
    """The words after `pulumi` of the one line of a workflow that runs it, `$stack` left in."""
    [line] = [line for line in lines(name) if line.startswith("pulumi ")]
    return shlex.split(line.partition(" || ")[0])[1:]
