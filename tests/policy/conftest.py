"""The policy pack's own environment, and projects on the real engine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lab.engine import install
from tests.engine.support import Project

ROOT = Path(__file__).parents[2]
SYNC = (".tools/bin/uv", "sync", "--locked", "--project", "policy")
"""What installs the pack's environment."""


@pytest.fixture(scope="session")
def pack() -> Path:
    """The pack with its locked environment; nothing is done where it is installed already."""
    folder = ROOT / "policy"
    words = [*SYNC, "--quiet", "--python", sys.executable]
    # with what this machine says of certificates and proxies: a cache that is empty is filled from the index
    environment = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    subprocess.run(words, check=True, cwd=ROOT, env=environment)
    return folder


@pytest.fixture
def project(binaries: Path, tmp_path: Path) -> Project:
    """An empty project with its stack, and a cluster that is not there."""
    engine = install.install(tmp_path / "home", binaries, Path(sys.executable), "standin")
    (tmp_path / "project").mkdir()
    (tmp_path / "passphrase").write_text("of these tests\n")
    options = json.dumps({"name": "python", "options": {"virtualenv": sys.prefix}})
    (tmp_path / "project" / "Pulumi.yaml").write_text(f"name: trial\nruntime: {options}\n")
    made = Project(tmp_path / "project", engine, engine.env(tmp_path / "state", tmp_path / "passphrase"))
    made.run("stack", "init", "test").ok()
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(json.dumps(NO_CLUSTER))
    made.variables["KUBECONFIG"] = str(kubeconfig)
    return made


NO_CLUSTER = {
    "apiVersion": "v1",
    "kind": "Config",
    "current-context": "x",
    "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
    "clusters": [{"name": "x", "cluster": {"server": "https://127.0.0.1:1"}}],
    "users": [{"name": "x", "user": {"token": "x"}}],
}
