"""Back to a stack's last good commit, where that is safe: the program in a worktree of that commit.

Safe means: a gate failed (not the update, nor could a gate not tell), the Talos release is the same, and that commit
has the stack's file. An upgrade of Talos is never taken back: a node that was upgraded has migrated what lies on it.
"""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from talos_gpu.rollout.errors import PulumiFailed
from talos_gpu.rollout.plan import Plan
from talos_gpu.rollout.pulumi_cli import Pulumi


@dataclass(frozen=True, slots=True)
class Rollback:
    """Finds and lays out last good commits."""

    plan: Plan
    pulumi: Pulumi
    good: Mapping[str, Mapping[str, Any]]
    """Stack -> `commit` and `release`."""
    folder: Path
    """Where worktrees are laid out."""

    def may(self, stack: str) -> bool:
        """Whether a stack can go back, and may."""
        last = self.good.get(stack)
        if self.plan.rollback == "never" or last is None or self.pulumi.stack_files != self.pulumi.project:
            return False
        release = self.plan.stacks[
            stack
        ].release  # "" where the settings do not tell: then nobody knows that it is safe
        same_release = release != "" and last.get("release") == release
        moved = last.get("commit") != self.plan.commit or not self.plan.clean
        return same_release and moved and self._has(str(last["commit"]), stack)

    def project(self, stack: str) -> Pulumi:
        """The project at the stack's last good commit. Raises PulumiFailed if git cannot lay it out."""
        commit = str(self.good[stack]["commit"])
        tree = self.folder / f"{commit[:12]}.{stack}"
        self._git("worktree", "prune")
        if tree.exists():
            self._git("worktree", "remove", "--force", str(tree), check=False)
            shutil.rmtree(tree, ignore_errors=True)
        self._git("worktree", "add", "--detach", "--force", str(tree), commit)
        top = Path(self._git("rev-parse", "--show-toplevel").strip())
        project = tree / self.pulumi.project.resolve().relative_to(top.resolve())
        self._link_ignored(project)
        return dataclasses.replace(self.pulumi, project=project, stack_files=project)

    def clear(self) -> None:
        """Remove the worktrees."""
        for tree in self.folder.glob("*") if self.folder.exists() else ():
            self._git("worktree", "remove", "--force", str(tree), check=False)
        self._git("worktree", "prune", check=False)

    def _link_ignored(self, project: Path) -> None:
        """What git ignores and the program needs all the same: its virtual environment, base machine configs."""
        listed = self._git("ls-files", "-z", "--others", "--ignored", "--exclude-standard", "--directory", "--", ".")
        for name in filter(None, listed.split("\0")):
            theirs, ours = self.pulumi.project / name, project / name.rstrip("/")
            if theirs.name != "__pycache__" and ours.parent.is_dir() and not ours.exists():
                ours.symlink_to(theirs.resolve())

    def _has(self, commit: str, stack: str) -> bool:
        name = self.pulumi.stack_file(stack).name
        done = subprocess.run(
            ["git", "cat-file", "-e", f"{commit}:./{name}"], cwd=self.pulumi.project, capture_output=True, check=False
        )
        return done.returncode == 0

    def _git(self, *words: str, check: bool = True) -> str:
        done = subprocess.run(["git", *words], cwd=self.pulumi.project, capture_output=True, text=True, check=False)
        if check and done.returncode:
            raise PulumiFailed(f"up at the last good commit (git {words[0]})", done.stderr.strip())
        return done.stdout
