"""`talos-gpu preview` of one stack against `pulumi preview` of the same: the engine's work is in both."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from bench.figure import Figure
from bench.timing import both
from lab import toolchain
from tests.preview.conftest import lay_out

ROUNDS = 5


def measure() -> list[Figure]:
    """One figure; about a minute. No node and no cluster: a first create, the stand-in plugins in both."""
    with tempfile.TemporaryDirectory() as folder:
        reviewed = lay_out(Path(folder), toolchain.ensure())
        words = ("preview", "--stack", "talos05", "--non-interactive", "--color", "never", "--suppress-outputs")

        def reference() -> None:
            reviewed.run("pulumi", *words)

        def ours() -> None:
            reviewed.run(sys.executable, "-m", "talos_gpu", "preview", "talos05", "--no-policy")

        seconds = both(reference, ours, ROUNDS)
    return [Figure("preview: talos-gpu preview of one stack", "pulumi preview of the same", *seconds, 1.1)]
