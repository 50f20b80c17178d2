"""Fixtures: the mock GPU built once, and a copy for each test."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from lab.gpu.build import build
from tests.gpu.mock_gpu import MockGpu


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if os.geteuid() == 0:
        return
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here) and "gpu" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.skip(reason="device nodes in a private /dev need root"))


@pytest.fixture(scope="session")
def built_gpu(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The libraries as `build` makes them; not to be changed."""
    out = tmp_path_factory.mktemp("gpu") / "535.247.01"
    build(out)
    return out


@pytest.fixture
def libraries(built_gpu: Path, tmp_path: Path) -> Path:
    """A copy of the libraries that the test may change."""
    folder = tmp_path / "lib"
    shutil.copytree(built_gpu, folder, symlinks=True)
    return folder


@pytest.fixture
def gpu(libraries: Path) -> MockGpu:
    """A healthy mock GPU of the test's own."""
    return MockGpu(libraries)
