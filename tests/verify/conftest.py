"""The mock GPU as a container: the proofs' own commands run in it, by the real ffmpeg."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from lab.gpu.build import build
from talos_gpu.kube.quiet import BUSY
from talos_gpu.verify.report import Proof
from talos_gpu.verify.run import Demands, Host, container_proofs
from talos_gpu.verify.said import Said
from tests.gpu.mock_gpu import MockGpu

GPU = ("Quadro P2000", "535.247.01", 5120)


class MockContainer:
    """A machine with the mock GPU, seen as the proofs see a container."""

    def __init__(self, gpu: MockGpu, majors: Mapping[str, int] | None = None) -> None:
        self.gpu = gpu
        self.majors = {"nvidia-uvm": 511} if majors is None else majors
        self.commands: list[tuple[str, ...]] = []
        self.without: set[str] = set()
        self.exclusive = False
        """Whether the GPU takes one program at a time (compute mode)."""
        self.transcoders: list[str] = []
        """Programs that run in it beside those of the proofs, by name."""
        self._running = 0

    async def run(self, command: Sequence[str], seconds: float) -> Said:
        self.commands.append(tuple(command))
        if command[0] in self.without:
            return Said(tuple(command), 127, "", f"{command[0]}: not found", 0.0)
        if command[-1] == BUSY:  # run here it would tell of this whole machine's programs
            return Said(tuple(command), 0, "".join(f"process {name}\n" for name in self.transcoders), "", 0.0)
        if "ffmpeg" not in command:
            return await self._program(command, seconds)
        if self.exclusive and self._running:
            words = "cu->cuDevicePrimaryCtxRetain(...) failed -> CUDA_ERROR_DEVICE_UNAVAILABLE: busy or unavailable"
            return Said(tuple(command), 1, "", words, 0.0)
        self._running += 1
        try:
            return await self._program(command, seconds)
        finally:
            self._running -= 1

    async def _program(self, command: Sequence[str], seconds: float) -> Said:
        # nvidia-smi is where the libraries are, as CDI mounts it onto the PATH
        path = f"{self.gpu.folder}:{os.environ['PATH']}"
        started = time.monotonic()
        process = await asyncio.create_subprocess_exec(
            *self.gpu.command(*command),
            env={**self.gpu.environment, "PATH": path, "NVIDIA_VISIBLE_DEVICES": "void"},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(seconds):
            out, err = await process.communicate()
        code = process.returncode or 0
        code = code if code >= 0 else 128 - code  # as a container runtime says it
        return Said(tuple(command), code, out.decode(), err.decode(), time.monotonic() - started)

    def proofs(self, *, pretended: bool = False, **demands: object) -> dict[str, Proof]:
        """All proofs made in it, by name."""

        async def host() -> Host:
            return Host(self.majors, pretended)

        wanted = Demands(*GPU, **{"floor": None, "limit": 60, **demands})  # type: ignore[arg-type]
        return {proof.name: proof for proof in asyncio.run(container_proofs(self, wanted, host()))}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if os.geteuid() == 0:
        return
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here) and "container" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.skip(reason="device nodes in a private /dev need root"))


@pytest.fixture(scope="session")
def built_libraries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("gpu") / "535.247.01"
    build(out)
    return out


@pytest.fixture
def container(built_libraries: Path, tmp_path: Path) -> MockContainer:
    """A container with a healthy mock GPU of the test's own."""
    folder = tmp_path / "lib"
    shutil.copytree(built_libraries, folder, symlinks=True)
    return MockContainer(MockGpu(folder))
