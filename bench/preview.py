"""`talos-gpu preview` of one stack against `pulumi preview` of the same: the engine's work is in both.

By the clock on the wall, and by CPU seconds, which a busy machine changes less.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from bench.figure import Figure
from bench.rounds import Rounds
from bench.timing import by_clocks, children_cpu
from lab import toolchain
from tests.preview.conftest import lay_out

ROUNDS = 5


def measure() -> list[Figure]:
    """Both figures; about a minute. No node and no cluster: a first create, the stand-in plugins in both."""
    with tempfile.TemporaryDirectory() as folder:
        reviewed = lay_out(Path(folder), toolchain.ensure())
        words = ("preview", "--stack", "talos05", "--non-interactive", "--color", "never", "--suppress-outputs")

        def reference() -> None:
            reviewed.run("pulumi", *words)

        def ours() -> None:
            reviewed.run(sys.executable, "-m", "talos_gpu", "preview", "talos05", "--no-policy")

        clocks = {"": time.perf_counter, ", CPU": children_cpu}
        taken = by_clocks([reference, ours], ROUNDS, list(clocks.values()))
    name = "preview: talos-gpu preview of one stack"
    return [
        Figure.of(f"{name}{clock}", "pulumi preview of the same", Rounds(tuple(theirs), tuple(own)), bar)
        for clock, bar, (theirs, own) in zip(clocks, (1.1, None), taken, strict=True)
    ]
