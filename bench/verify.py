"""Verify: the whole command against the ffmpeg runs that it makes, made by hand."""

from __future__ import annotations

import shlex
import subprocess
import sys
import time
from collections.abc import Callable

from bench.figure import Figure
from bench.rounds import Rounds
from lab import kubectl
from lab.paths import PROJECT
from lab.stack import Stack
from talos_gpu.verify.ffmpeg import cuda_command, decode_command, encode_command
from talos_gpu.verify.report import ENCODERS

PACE = 157
"""Pictures a second to which the pretended encoder keeps: 5.24 times 30, a Quadro P2000's HEVC."""
ROUNDS = 7


def measure(stack: Stack) -> list[Figure]:
    """The figure of `talos-gpu verify` on a running lab with its stack up; about half a minute.

    Ours is the process from its start to its end; the reference is one `kubectl exec` in the same pod that runs the
    same four commands one after the other, looks at nothing else and judges nothing.
    """
    stack.node.pretend(fps=PACE)
    try:
        rounds = [(_verify(stack), _by_hand(stack)) for _ in range(ROUNDS)]
    finally:
        stack.node.pretend()
    whole, ffmpeg = zip(*rounds, strict=True)
    name, reference = "verify: talos-gpu verify, the process", "its own four ffmpeg runs in one kubectl exec"
    return [Figure.of(name, reference, Rounds(ffmpeg, whole), 1.3)]


def _verify(stack: Stack) -> float:
    command = [sys.executable, "-m", "talos_gpu", "verify", stack.name, "--project", str(stack.lab.paths.root)]
    return _seconds(lambda: subprocess.run(command, cwd=PROJECT, stdout=subprocess.DEVNULL, check=True))


def _by_hand(stack: Stack) -> float:
    worker = ("exec", "-n", "media", f"deploy/tdarr-node-gpu-{stack.node.name}", "--")
    commands = [*map(encode_command, ENCODERS), decode_command(), cuda_command()]
    script = " && ".join(map(shlex.join, commands))
    return _seconds(lambda: kubectl.kubectl(stack.lab, *worker, "sh", "-c", script))


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
