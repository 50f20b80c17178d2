"""Asking the official Go library (tests/cdi/oracle) for its verdict on specs and folders."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from lab.toolchain import go_program
from talos_gpu.cdi import Library

SOURCE = Path(__file__).parent / "oracle"
MODULES = {Library.V1_0_1: "go.mod", Library.V1_1_0: "v1.1.0.mod"}


def build(folder: Path, library: Library) -> Path:
    """The oracle built against that release of the library."""
    program = folder / f"oracle-{library}"
    command: list[str | Path] = [
        go_program(),
        "build",
        "-mod=readonly",
        f"-modfile={MODULES[library]}",
        "-trimpath",
        "-buildvcs=false",
    ]
    subprocess.run(
        [*command, "-o", program, "."],
        cwd=SOURCE,
        env=dict(os.environ, CGO_ENABLED="0", GOTOOLCHAIN="local", GOFLAGS=""),
        check=True,
    )
    return program


class Oracle:
    """The running program; `asked` and `accepted` count its verdicts."""

    def __init__(self, program: Path, folder: Path, library: Library) -> None:
        self.library = library
        self.file = folder / f"case-{library}.yaml"
        self.process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.asked = 0
        self.accepted = 0

    def __enter__(self) -> Oracle:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()

    def verdict(self, spec: str | bytes) -> str:
        """`ok`, or `refused: ` and the library's words."""
        self.file.write_bytes(spec.encode("utf-8", "surrogatepass") if isinstance(spec, str) else spec)
        answer = self._ask("verdict", str(self.file))
        self.asked += 1
        self.accepted += answer == "ok"
        return answer

    def resolve(self, folders: Sequence[Path]) -> tuple[dict[str, str], dict[str, list[str]]]:
        """Path by device, and errors by path, as the library's cache has them."""
        found: dict[str, Any] = json.loads(self._ask("resolve", *map(str, folders)))
        return found["devices"], found["errors"]

    def seconds(self, path: Path, count: int) -> float:
        """The mean time of a verdict on a file."""
        return float(self._ask("time", str(count), str(path)))

    def _ask(self, *words: str) -> str:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(("\t".join(words) + "\n").encode())
        self.process.stdin.flush()
        return self.process.stdout.readline().decode().strip()
