from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.toolchain import go_program
from tests.talos.oracle_client import TalosOracle

MODULES = {"1.11": "go.mod", "1.13": "talos-1.13.mod"}


@pytest.fixture(scope="session", params=MODULES)
def oracle(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TalosOracle]:
    """Talos's machinery 1.11.6 and 1.13.9 as a process."""
    program = tmp_path_factory.mktemp("oracle") / "oracle"
    modfile = f"-modfile={MODULES[request.param]}"
    subprocess.run(
        [go_program(), "build", modfile, "-mod=readonly", "-trimpath", "-buildvcs=false", "-o", program, "."],
        cwd=Path(__file__).parent / "oracle",
        env=dict(os.environ, CGO_ENABLED="0", GOTOOLCHAIN="local", GOFLAGS=""),
        check=True,
    )
    with TalosOracle(program, request.param) as running:
        yield running
