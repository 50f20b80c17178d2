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
    """The figures of `talos-gpu verify` on a running lab with its stack up; about half a minute.

    Ours is the process from its start to its end. The reference is the same four commands in the same pod, one after
    the other, each by a `kubectl exec` as the write-up has them; beside it, without a bar, all four in one
    `kubectl exec`, which starts nothing and connects only once. Neither looks at anything else or judges what was said.
    """
    stack.node.pretend(fps=PACE)
    try:
        rounds = [(_verify(stack), _each(stack), _at_once(stack)) for _ in range(ROUNDS)]
    finally:
        stack.node.pretend()
    ours, each, at_once = (tuple(side) for side in zip(*rounds, strict=True))
    name, runs = "verify: talos-gpu verify, the process", "its own four ffmpeg runs"
    return [
        Figure.of(name, f"{runs}, each by kubectl exec", Rounds(each, ours), 1.3),
        Figure.of(f"{name}, beside one exec", f"{runs} in one kubectl exec", Rounds(at_once, ours), None),
    ]


def _verify(stack: Stack) -> float:
    command = [sys.executable, "-m", "talos_gpu", "verify", stack.name, "--project", str(stack.lab.paths.root)]
    return _seconds(lambda: subprocess.run(command, cwd=PROJECT, stdout=subprocess.DEVNULL, check=True))


def _each(stack: Stack) -> float:
    return sum(_in_the_worker(stack, *words) for words in _commands())


def _at_once(stack: Stack) -> float:
    return _in_the_worker(stack, "sh", "-c", " && ".join(map(shlex.join, _commands())))


def _commands() -> list[tuple[str, ...]]:
    return [*map(encode_command, ENCODERS), decode_command(), cuda_command()]


def _in_the_worker(stack: Stack, *words: str) -> float:
    worker = ("exec", "-n", "media", f"deploy/tdarr-node-gpu-{stack.node.name}", "--")
    return _seconds(lambda: kubectl.kubectl(stack.lab, *worker, *words))


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
