"""Programs run to their end, with what they said; our own command the same way."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PATH = f"/usr/local/bin:{os.environ.get('PATH', '')}:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"
"""Ours first, then as it was found: the machine says where its nvidia-smi is."""
SECONDS = 60


@dataclass(frozen=True, slots=True)
class Said:
    """A command line, its exit code and its output."""

    command: str
    code: int
    out: bytes
    err: str

    @property
    def text(self) -> str:
        """stdout as text."""
        return self.out.decode(errors="replace")

    @property
    def both(self) -> str:
        """stdout and stderr, one after the other."""
        return "\n".join(part for part in (self.text.strip(), self.err.strip()) if part)


def run(*words: str | Path, env: Mapping[str, str] | None = None, called: str = "", seconds: float = SECONDS) -> Said:
    """Run a program; `called` is how the record names it, default its own words."""
    environment = {**os.environ, "PATH": PATH, "LC_ALL": "C", **(env or {})}
    environment.pop("LD_LIBRARY_PATH", None)
    done = subprocess.run(
        [str(word) for word in words],
        capture_output=True,
        check=False,
        env=environment,
        timeout=seconds,
        stdin=subprocess.DEVNULL,
    )
    return Said(
        called or shlex.join(map(str, words)), done.returncode, done.stdout, done.stderr.decode(errors="replace")
    )


def ours(*words: str | Path) -> Said:
    """`talos-gpu WORDS`."""
    return run(sys.executable, "-m", "talos_gpu", *words, called=shlex.join(["talos-gpu", *map(str, words)]))


def ours_json(*words: str | Path) -> Any:  # noqa: ANN401 - JSON
    """What `talos-gpu WORDS --json` prints."""
    said = ours(*words, "--json")
    if said.code not in (0, 1):
        raise RuntimeError(f"{said.command} ended with {said.code}: {said.err}")
    return json.loads(said.text)


def tail(text: str, lines: int = 12) -> str:
    """The last lines of a text, each once; uncut, because half a UUID would not be seen as one and replaced."""
    return "\n".join(list(dict.fromkeys(text.strip().splitlines()))[-lines:])


def joined(words: Sequence[str]) -> str:
    """Words as a person reads them: `a, b`; `none`."""
    return ", ".join(words) or "none"
