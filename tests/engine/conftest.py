"""An installed offline engine, throw-away projects for it, and a real control plane without nodes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.engine import install
from tests.engine.support import Api, Project, control_plane


@pytest.fixture(scope="session")
def binaries(request: pytest.FixtureRequest) -> Path:
    """The toolchain's folder; TALOS_LAB_BINARIES names another one, so that these tests run without the whole lab."""
    named = os.environ.get("TALOS_LAB_BINARIES")
    found: Path = Path(named) if named else request.getfixturevalue("binaries")
    return found


@pytest.fixture(scope="session")
def engine(binaries: Path, tmp_path_factory: pytest.TempPathFactory) -> install.Engine:
    """The engine, installed once with stand-ins."""
    return install.install(tmp_path_factory.mktemp("pulumi-home"), binaries, Path(sys.executable), "standin")


@pytest.fixture(scope="session")
def initialised(engine: install.Engine, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an empty project, its state and its passphrase; copied for every test."""
    folder = tmp_path_factory.mktemp("initialised")
    (folder / "project").mkdir()
    (folder / "passphrase").write_text("of these tests\n")
    options = json.dumps({"name": "python", "options": {"virtualenv": sys.prefix}})
    (folder / "project" / "Pulumi.yaml").write_text(f"name: trial\nruntime: {options}\n")
    project_in(folder, engine).run("stack", "init", "test").ok()
    return folder


@pytest.fixture
def project(engine: install.Engine, initialised: Path, tmp_path: Path) -> Project:
    """An empty project with its stack."""
    shutil.copytree(initialised, tmp_path, dirs_exist_ok=True)
    return project_in(tmp_path, engine)


def project_in(folder: Path, engine: install.Engine) -> Project:
    return Project(folder / "project", engine, engine.env(folder / "state", folder / "passphrase"))


@pytest.fixture(scope="session")
def api(binaries: Path, etcd: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """A real control plane on loopback: etcd, kube-apiserver, kube-controller-manager. No node joins it."""
    folder = tmp_path_factory.mktemp("control-plane")
    running: list[subprocess.Popen[bytes]] = []

    def start(*command: object) -> None:
        with (folder / f"{Path(str(command[0])).name}.log").open("wb") as log:
            running.append(subprocess.Popen([str(part) for part in command], cwd=folder, stdout=log, stderr=log))

    try:
        yield control_plane(folder, binaries, etcd, start)
    finally:
        for process in reversed(running):
            process.kill()
            process.wait()
