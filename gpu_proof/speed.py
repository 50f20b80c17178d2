"""Speed with this machine's own spec: ours beside the official library's, a start with the GPU beside one without."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from statistics import median

from bench.timing import in_turns
from gpu_proof.parts import NEWEST_TOOLKIT, OLDEST_TOOLKIT
from gpu_proof.record import Record, proven
from gpu_proof.runtime import ALL, Containerd
from gpu_proof.specs import Made
from talos_gpu.cdi import Strategy, patch
from tests.cdi.oracle_client import Oracle

STARTS = 7
START_BAR = 2.0
"""Seen by hand on an H100: 1.40."""


def prove(made: Made, runtime: Containerd, oracle: Oracle) -> Iterator[Record]:
    """Medians and ratios; the healthy spec is in force."""
    for release in (OLDEST_TOOLKIT, NEWEST_TOOLKIT):
        yield _library(made.path(release), release, oracle)
    yield _starts(runtime)


def _library(path: Path, release: str, oracle: Oracle) -> Record:
    text = path.read_text()
    [ours] = in_turns([lambda: patch(text, Strategy.REAL)], 60)
    theirs = [oracle.seconds(path, 30) for _ in range(7)]
    mine, reference = median(ours), median(theirs)
    return Record(
        f"speed/library-{release}",
        f"parse, validate and patch the spec of toolkit {release}, beside the Go library's reading and validating it",
        f"talos_gpu.cdi.patch / cdi.ReadSpec {oracle.library}",
        f"{mine * 1e3:.2f} ms / {reference * 1e3:.2f} ms = {mine / reference:.1f}",
        proven(mine > 0 and reference > 0),
        {"ours_s": mine, "reference_s": reference, "ratio": mine / reference, "bytes": len(text)},
    )


def _starts(runtime: Containerd) -> Record:
    codes: list[int] = []

    def start(how: tuple[str, ...]) -> None:
        codes.append(runtime.container("true", how).code)

    without, with_gpu = in_turns([lambda: start(()), lambda: start(ALL)], STARTS)
    plain, injected = median(without), median(with_gpu)
    return Record(
        "speed/start",
        "a container's whole life with the GPU by the patched spec, beside one without a GPU",
        "ctr run --rm --device nvidia.com/gpu=all ROOT true / ctr run --rm ROOT true",
        f"{injected:.3f} s / {plain:.3f} s = {injected / plain:.2f} (medians of {STARTS})",
        proven(not any(codes) and injected / plain <= START_BAR),
        {"with_s": injected, "without_s": plain, "ratio": injected / plain, "bar": START_BAR},
    )
