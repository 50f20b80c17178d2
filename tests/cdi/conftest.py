from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.toolchain import go_program
from tests.cdi.oracle_client import Oracle


@pytest.fixture(scope="session")
def real_spec(fixtures: Path) -> str:
    """The seed's node: Quadro P2000, driver 535.247.01, toolkit 1.17.8."""
    return (fixtures / "cdi/p2000-535/toolkit-1.17.8.yaml").read_text()


@pytest.fixture(scope="session")
def oracle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Oracle]:
    """The official Go library 1.0.1 as a process."""
    folder = tmp_path_factory.mktemp("oracle")
    program = folder / "oracle"
    subprocess.run(
        [go_program(), "build", "-mod=readonly", "-trimpath", "-buildvcs=false", "-o", program, "."],
        cwd=Path(__file__).parent / "oracle",
        env=dict(os.environ, CGO_ENABLED="0", GOTOOLCHAIN="local", GOFLAGS=""),
        check=True,
    )
    with Oracle(program, folder) as running:
        yield running
