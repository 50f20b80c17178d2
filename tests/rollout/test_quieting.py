"""A node is made quiet by its stack's own `up`, and by nobody else: a rollout must not do it a second time."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import talos_gpu

PACKAGE = Path(talos_gpu.__file__).parent
QUIETING = {"talos_gpu.kube.quiet", "talos_gpu.kube.prepull"}


def imported(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


@pytest.mark.parametrize("path", sorted((PACKAGE / "rollout").glob("*.py")), ids=lambda path: path.stem)
def test_no_part_of_a_rollout_cordons_or_drains(path: Path) -> None:
    assert not imported(path) & QUIETING
    assert not {"unschedulable", "eviction"} & set(path.read_text().lower().replace('"', " ").split())


def test_the_stacks_own_update_does() -> None:
    components = PACKAGE.parent / "components"
    assert "talos_gpu.kube.quiet.quiet" in imported(components / "restart.py")
    assert "components.restart.restart" in imported(components / "machine_ready.py")
