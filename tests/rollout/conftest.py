"""Four small stacks on the lab's offline engine: laid out and planned once, copied for every test."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lab.engine import install
from tests.rollout.real_fleet import STACKS, RealFleet


@pytest.fixture(scope="session")
def engine(binaries: Path, tmp_path_factory: pytest.TempPathFactory) -> install.Engine:
    return install.install(tmp_path_factory.mktemp("rollout-home"), binaries, Path(sys.executable), "standin")


@pytest.fixture(scope="session")
def laid_out(engine: install.Engine, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("four-stacks")
    (folder / "passphrase").write_text("of these tests\n")
    environment = engine.env(folder / "state", folder / "passphrase")
    made = RealFleet(folder, engine, environment)
    made.lay_out()
    project = made.project

    def init(stack: str) -> None:
        words = [str(engine.pulumi), "stack", "init", stack, "--no-select"]
        subprocess.run(words, cwd=project, env=environment, check=True, capture_output=True)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(init, STACKS))
    made.prepare()
    made.planned()
    return folder


@pytest.fixture
def fleet(engine: install.Engine, laid_out: Path, tmp_path: Path) -> Iterator[RealFleet]:
    """A fleet whose plan is approved: nothing that a plan is bound to knows the folder."""
    shutil.copytree(laid_out, tmp_path, dirs_exist_ok=True)
    made = RealFleet(tmp_path, engine, engine.env(tmp_path / "state", tmp_path / "passphrase"))
    made.set_environment()
    yield made
    made.end()
