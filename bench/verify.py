"""Verify: the whole command against the ffmpeg runs that it makes itself."""

from __future__ import annotations

import json
import subprocess
import sys
import time

from bench.figure import Figure
from bench.rounds import Rounds
from lab.paths import PROJECT
from lab.stack import Stack
from talos_gpu.verify.ffmpeg import CUDA, DECODE
from talos_gpu.verify.report import ENCODERS

PACE = 157
"""Pictures a second to which the pretended encoder keeps: 5.24 times 30, a Quadro P2000's HEVC."""
ROUNDS = 7


def measure(stack: Stack) -> list[Figure]:
    """The figure of `talos-gpu verify` on a running lab with its stack up; about half a minute.

    Both numbers are of one run, the fastest of some: the process from its start to its end, and the seconds that its
    four ffmpeg runs took from the first call to the last one's end: decoder and CUDA run together.
    """
    stack.node.pretend(fps=PACE)
    try:
        rounds = [_once(stack) for _ in range(ROUNDS)]
    finally:
        stack.node.pretend()
    whole, ffmpeg = zip(*rounds, strict=True)
    name, reference = "verify: talos-gpu verify, the process", "its own four ffmpeg runs"
    return [Figure.of_fastest_run(name, reference, Rounds(ffmpeg, whole), 1.3)]


def _once(stack: Stack) -> tuple[float, float]:
    project = ["--project", str(stack.lab.paths.root)]
    started = time.perf_counter()
    command = [sys.executable, "-m", "talos_gpu", "verify", stack.name, "--json", *project]
    done = subprocess.run(command, cwd=PROJECT, stdout=subprocess.PIPE, check=True)
    whole = time.perf_counter() - started
    [report] = json.loads(done.stdout)["reports"]
    took = {proof["name"]: proof["seconds"] for proof in report["proofs"]}
    return whole, sum(took[codec] for codec in ENCODERS) + max(took[DECODE], took[CUDA])
