"""Running a page's blocks as its reader would: one shell, in which what was exported stays."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.docs.blocks import ROOT, Block

_KEEP = 'trap \'code=$?; export -p > "$DOCS_STATE"; pwd > "$DOCS_STATE.cwd"; exit $code\' EXIT\n'
_FAIL = "set -euo pipefail\n"
_FOREIGN = ("PULUMI_", "TALOS_", "TALOSCONFIG", "KUBECONFIG", "PYTEST_", "LAB_", "COV_")


class Reader:
    """A shell in `folder`, whose home and PATH are the reader's: `talos-gpu` is installed, nothing else of ours is."""

    def __init__(self, folder: Path, home: Path, environment: Mapping[str, str] | None = None) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self._state = home / ".docs-state"
        clean = {key: value for key, value in os.environ.items() if not key.startswith(_FOREIGN)}
        self._environment = {
            **clean,
            "HOME": str(home),
            "PATH": f"{ROOT / '.venv/bin'}{os.pathsep}{os.environ['PATH']}",
            "DOCS_STATE": str(self._state),
            "COLUMNS": "120",
            "NO_COLOR": "1",
            **(environment or {}),
        }
        self._folder = folder
        self._exports: list[str] = []

    def have(self, environment: Mapping[str, str]) -> None:
        """Give the reader's shell more variables; PATH is put before what is there."""
        for key, value in environment.items():
            self._exports.append(f"export {key}={shlex.quote(value)}" + (":$PATH" if key == "PATH" else ""))

    def run(self, block: Block, seconds: float = 300) -> None:
        """Run a block's commands; fails where one ends, or prints, otherwise than the page says."""
        assert block.mark
        steps = block.steps()
        for number, (script, expected) in enumerate(steps, 1):
            code, said = self._shell(script, seconds)
            wanted = block.mark.exit if number == len(steps) else 0
            assert code == wanted, f"{block.name}: ended with {code}\n{script}\n{said[-4000:]}"
            if expected is not None:
                assert like(said, expected), f"{block.name}: {script}\nthe page says:\n{expected}\nit said:\n{said}"

    def said(self, script: str, code: int = 0, seconds: float = 300) -> str:
        """What commands of nobody's page print, both streams; fails unless they end with `code`."""
        ended, said = self._shell(script, seconds)
        assert ended == code, f"ended with {ended}\n{script}\n{said[-4000:]}"
        return said

    def end_lab(self) -> None:
        """End the lab that a page has brought up, whatever became of the page."""
        subprocess.run(["make", "-C", str(ROOT), "down"], env=self._environment, check=True, capture_output=True)

    def _shell(self, script: str, seconds: float) -> tuple[int, str]:
        state, cwd = self._state, Path(f"{self._state}.cwd")
        folder = cwd.read_text().strip() if cwd.exists() else str(self._folder)
        before = f'source "{state}"\n' if state.exists() else ""
        before += "".join(f"{line}\n" for line in self._exports)
        self._exports.clear()
        done = subprocess.run(
            ["bash", "-c", f"{before}{_KEEP}{_FAIL}{script}"],
            cwd=folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=seconds,
            check=False,
        )
        return done.returncode, done.stdout


def like(said: str, expected: str) -> bool:
    """Whether what was printed is what a page shows; `...` stands for anything, alone on a line for any lines."""
    parts = []
    for line in expected.rstrip("\n").split("\n"):
        if line.strip() == "...":
            parts.append(r"(?:.*\n)*?")
        else:
            words = r"[^\n]*?".join(re.escape(piece) for piece in line.rstrip().split("..."))
            words = re.sub(r"(?:\\ ){2,}", " +", words)  # columns are as wide as what stands in them
            parts.append(rf"{words}[ \t]*\n")
    return (
        re.fullmatch("".join(parts) if expected.strip() else "", said.rstrip("\n") + "\n" if said.strip() else "")
        is not None
    )
