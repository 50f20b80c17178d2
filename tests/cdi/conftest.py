from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from talos_gpu.cdi import Library
from talos_gpu.cli import main
from tests.cdi.command import Done, Run
from tests.cdi.oracle_client import Oracle, build


@pytest.fixture(scope="session")
def real_spec(fixtures: Path) -> str:
    """The seed's node: Quadro P2000, driver 535.247.01, toolkit 1.17.8."""
    return (fixtures / "cdi/p2000-535/toolkit-1.17.8.yaml").read_text()


@pytest.fixture(scope="session")
def oracles(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[Library, Oracle]]:
    """The official Go library of each release as a process."""
    folder = tmp_path_factory.mktemp("oracle")
    with ExitStack() as stack:
        yield {library: stack.enter_context(Oracle(build(folder, library), folder, library)) for library in Library}


@pytest.fixture(params=list(Library), ids=str)
def oracle(request: pytest.FixtureRequest, oracles: dict[Library, Oracle]) -> Oracle:
    """Each release in turn."""
    library: Library = request.param
    return oracles[library]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]) -> Run:
    """The command within this process: `run("validate", "FILE", stdin=b"...")`."""

    def command(*args: str | Path, stdin: bytes = b"") -> Done:
        monkeypatch.setattr(sys, "argv", ["talos-gpu", "cdi", *map(str, args)])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsysbinary.readouterr()
        return Done(int(ended.value.code or 0), out.decode(), err.decode())

    return command


@pytest.fixture
def spec(tmp_path: Path, real_spec: str) -> Path:
    path = tmp_path / "nvidia.yaml"
    path.write_text(real_spec)
    return path
