"""What was approved is looked at again right before each stack is touched, and not more often than it must be."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from talos_gpu.rollout.plan import Plan
from talos_gpu.rollout.records import Step
from talos_gpu.rollout.runner import Moved
from talos_gpu.rollout.versions import counts, file_digest, source_of, state_digest
from talos_gpu.rollout.watch import Watch
from tests.rollout.sample import NAMES, sample_plan


@dataclass
class FakePulumi:
    """Stacks and their states; no process."""

    project: Path
    states: dict[str, dict[str, Any]] = field(default_factory=dict)
    exported: list[str] = field(default_factory=list)

    def stack_file(self, stack: str) -> Path:
        return self.project / f"Pulumi.{stack}.yaml"

    def state(self, stack: str) -> dict[str, Any]:
        self.exported.append(stack)
        return self.states.get(stack, {})


@dataclass
class Scene:
    watch: Watch
    pulumi: FakePulumi
    now: list[float]

    def after(self, seconds: float, stack: str = "talos05", step: Step = Step.UPDATE) -> list[str]:
        self.now[0] += seconds
        moved = self.watch(stack, step)
        assert not moved.settling
        return list(moved.lines)


def git(project: Path, *words: str) -> None:
    identity = ["-c", "user.name=test", "-c", "user.email=test@invalid"]
    subprocess.run(["git", *identity, *words], cwd=project, check=True, capture_output=True)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    pulumi = FakePulumi(tmp_path)
    for name in NAMES:
        pulumi.stack_file(name).write_text("config: {}\n")
    (tmp_path / "rollout.yaml").write_text("fleet: home\n")
    (tmp_path / "__main__.py").write_text("one\n")
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "--message", "one")
    rollout = tmp_path / "rollout.yaml"
    source, plan = source_of(tmp_path, rollout), sample_plan()
    stacks = {
        name: stack.model_copy(update={"config": file_digest(pulumi.stack_file(name)), "state": state_digest({})})
        for name, stack in plan.stacks.items()
    }
    moved = {"commit": source.commit, "source": source.digest, "rollout": file_digest(rollout), "stacks": stacks}
    plan = Plan(**{name: getattr(plan, name) for name in Plan.model_fields} | moved)
    now = [0.0]
    watch = Watch(plan, pulumi, rollout, frozenset({"talos06"}), clock=lambda: now[0])  # type: ignore[arg-type]
    return Scene(watch, pulumi, now)


def test_which_files_count(scene: Scene, tmp_path_factory: pytest.TempPathFactory) -> None:
    project = scene.pulumi.project
    (project / ".gitignore").write_text("*.html\n")
    found = {name: counts(project, project / name) for name in ("page.html", "page.md", "__main__.py", "../page.md")}
    assert found == {"page.html": False, "page.md": True, "__main__.py": True, "../page.md": False}
    (project / "page.html").touch()
    git(project, "add", "--force", ".")
    assert counts(project, project / "page.html"), "it is in a commit all the same"
    elsewhere = tmp_path_factory.mktemp("no-repository")
    assert not counts(elsewhere, elsewhere / "page.md")


def test_right_after_everything_was_compared_nothing_is_asked(scene: Scene) -> None:
    assert scene.after(2) == []
    assert scene.pulumi.exported == []


def test_what_has_not_moved(scene: Scene) -> None:
    assert scene.after(60) == []
    assert scene.pulumi.exported == ["talos05"]


def test_what_has_moved_since(scene: Scene) -> None:
    project = scene.pulumi.project
    scene.pulumi.states["talos05"] = {"resources": [{"urn": "new"}]}
    scene.pulumi.stack_file("talos05").write_text("config: {a: b}\n")
    (project / "rollout.yaml").write_text("fleet: other\n")
    (project / "__main__.py").write_text("two\n")
    assert scene.after(60) == [
        "files of the project changed without a commit",
        "rollout.yaml changed",
        "config of talos05 changed",
    ]
    git(project, "commit", "--quiet", "--all", "--message", "two")
    found = scene.after(60, "talos07")
    assert [line.partition(":")[0] for line in found] == ["commit", "rollout.yaml changed"]


def test_a_state_that_moves_is_told_from_one_that_has_moved(scene: Scene) -> None:
    changed = ("state of talos05 changed: somebody updated it",)
    scene.pulumi.states["talos05"] = {"resources": [{"urn": "new"}]}
    scene.now[0] = 60.0
    assert scene.watch("talos05", Step.UPDATE) == Moved(changed)
    scene.pulumi.states["talos05"] = {"resources": [], "pending_operations": [{"type": "creating"}]}
    assert scene.watch("talos05", Step.UPDATE) == Moved(changed, settling=True)


def test_what_this_rollout_has_touched_itself_has_moved_by_right(scene: Scene) -> None:
    scene.pulumi.states |= {name: {"resources": [{"urn": "new"}]} for name in NAMES}
    assert scene.after(60, "talos06") == [], "its update was begun before a resume"
    assert scene.after(60, "talos05", Step.RECHECK) == [], "it was done before a resume"
    assert scene.pulumi.exported == []
    scene.pulumi.stack_file("talos06").write_text("config: {a: b}\n")
    assert scene.after(60, "talos06") == ["config of talos06 changed"]
