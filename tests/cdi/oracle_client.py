"""Asking the official Go library (tests/cdi/oracle) for its verdict on a text."""

from __future__ import annotations

import subprocess
from pathlib import Path
from types import TracebackType


class Oracle:
    """The running program; `asked` and `accepted` count its answers."""

    def __init__(self, program: Path, folder: Path) -> None:
        self.file = folder / "case.yaml"
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

    def verdict(self, text: str) -> str:
        """`ok`, or `refused: ` and the library's words."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.file.write_bytes(text.encode("utf-8", "surrogatepass"))
        self.process.stdin.write(f"{self.file}\n".encode())
        self.process.stdin.flush()
        answer = self.process.stdout.readline().decode().strip()
        self.asked += 1
        self.accepted += answer == "ok"
        return answer
