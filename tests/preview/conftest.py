"""The project's own program in a folder of its own, under git, with a fresh stack, on the real engine."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab.engine import install
from tests.components.conftest import BASE
from tests.policy.conftest import NO_CLUSTER
from tests.talos.pki import Authority, talosconfig

ROOT = Path(__file__).parents[2]
PREFIX = "talos-nvidia-cdi:"


@dataclass
class Reviewed:
    """The project, its stack `talos05`, and `talos-gpu` on it."""

    folder: Path
    environment: dict[str, str]

    def talos_gpu(self, *words: str, code: int = 0) -> str:
        """Run the command; returns its standard output."""
        return self.run(sys.executable, "-m", "talos_gpu", *words, code=code)

    def run(self, *words: str, code: int = 0) -> str:
        """Run a program; returns its standard output."""
        done = subprocess.run(
            words,
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    def git(self, *words: str) -> str:
        done = subprocess.run(
            ["git", "-c", "user.name=test", "-c", "user.email=test@invalid", *words],
            cwd=self.folder,
            env=self.environment,
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout.strip()

    def configure(self, **changes: Any) -> None:
        """Write the stack file: talos05's with keys changed."""
        document = yaml.safe_load((ROOT / "Pulumi.talos05.yaml").read_text())
        for key, change in {"machine": {"base": "base.yaml"}, "talosconfig": "talosconfig", **changes}.items():
            before = document["config"].get(PREFIX + key)
            document["config"][PREFIX + key] = {**before, **change} if isinstance(before, dict) else change
        (self.folder / "Pulumi.talos05.yaml").write_text(yaml.safe_dump(document))


@pytest.fixture(scope="session")
def reviewed(binaries: Path, tmp_path_factory: pytest.TempPathFactory) -> Reviewed:
    """Laid out once; neither node nor cluster is there."""
    return lay_out(tmp_path_factory.mktemp("reviewed"), binaries)


def lay_out(root: Path, binaries: Path) -> Reviewed:
    """The project below `root`: the kubeconfig names a closed port, the address is of TEST-NET-1."""
    engine = install.install(root / "home", binaries, Path(sys.executable), "standin")
    folder = root / "project"
    folder.mkdir()
    for name in ("components", "talos_gpu"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "__main__.py", folder)
    project = yaml.safe_load((ROOT / "Pulumi.yaml").read_text())
    project["runtime"] = {"name": "python", "options": {"virtualenv": sys.prefix}}
    (folder / "Pulumi.yaml").write_text(yaml.safe_dump(project))
    shutil.copy(ROOT / ".gitignore", folder)
    (folder / "base.yaml").write_text(BASE)
    authority = Authority()
    (folder / "talosconfig").write_text(talosconfig(authority, authority.client("os:admin")))
    (root / "kubeconfig").write_text(json.dumps(NO_CLUSTER))
    (root / "passphrase").write_text("of these tests\n")
    environment = {
        **engine.env(root / "state", root / "passphrase"),
        "KUBECONFIG": str(root / "kubeconfig"),
        "TALOS_GPU_ROLLOUT_STATE": str(root / "rollouts"),
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_SYSTEM": os.devnull,
    }
    made = Reviewed(folder, environment)
    made.configure(node={"name": "talos05", "address": "192.0.2.5"})
    (folder / "rollout.yaml").write_text("fleet: home\nstacks: [{name: talos05}]\npreflight: [credentials]\n")
    words = [str(engine.pulumi), "stack", "init", "talos05", "--no-select"]
    subprocess.run(words, cwd=folder, env=environment, check=True, capture_output=True)
    made.git("init", "--quiet")
    made.git("add", "--all")
    made.git("commit", "--quiet", "--message", "first")
    return made
