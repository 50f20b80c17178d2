"""Asking Talos's own machinery (tests/talos/oracle) about machine configs."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any


class TalosOracle:
    """The running program, built against one release of the machinery."""

    def __init__(self, program: Path, release: str) -> None:
        self.release = release
        self.process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._generated: dict[tuple[str, str], str] = {}

    def __enter__(self) -> TalosOracle:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()

    def ask(self, question: str, **about: Any) -> dict[str, Any]:
        """The whole answer; `error` is "" where Talos is content."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps({"ask": question, **about}).encode() + b"\n")
        self.process.stdin.flush()
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer

    def generated(self, contract: str, kind: str) -> str:
        """What `talosctl gen config` writes for `contract` (`1.11`) and `kind` (`worker`, `controlplane`)."""
        key = (contract, kind)
        if key not in self._generated:
            said = self.ask("generate", contract=contract, type=kind)
            assert not said["error"]
            self._generated[key] = said["config"]
        return self._generated[key]

    def inspected(self, config: str) -> dict[str, Any]:
        """What Talos reads in a config that it must find valid."""
        said = self.ask("inspect", config=config)
        assert not said["error"], said["error"]
        return said
