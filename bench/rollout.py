"""Rollout: four real stacks against xargs, the cost of a stack in large fleets, and the memory of the runner itself."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench.figure import Amount, Figure
from bench.rounds import Rounds
from lab import toolchain
from lab.engine import install
from tests.rollout.real_fleet import ROOT, STACKS, RealFleet

_ROUNDS = 3
_SIZES = (100, 1_000, 10_000)
_MEMORY_MB = 150.0
_AT_MOST = 1.1


def measure() -> list[Figure | Amount]:
    """Every figure of the rollout; about three minutes on an idle machine."""
    with tempfile.TemporaryDirectory() as folder:
        return [*_real(Path(folder)), *_simulated()]


def _real(folder: Path) -> Iterator[Figure | Amount]:
    fleet = laid_out(folder)
    xargs = f"printf '%s\\n' {' '.join(STACKS)} | xargs -P4 -I@ pulumi up --yes --non-interactive"
    skipping = f"{xargs} --skip-preview --stack @"
    previewing = f"{xargs} --stack @"
    taken: dict[str, list[float]] = {"ours": [], skipping: [], previewing: []}
    memory, size = 0.0, 1
    for _ in range(_ROUNDS):
        for what, times in taken.items():
            size += 1
            for stack in STACKS:
                fleet.configure(stack, size=size)
            fleet.commit(f"size {size}")
            if what == "ours":
                fleet.planned()
                seconds, used = _run(fleet)
                memory = max(memory, used)
            else:
                seconds = _timed(what, fleet)
            if any(sizes[-1] != str(size) for sizes in fleet.changes().values()):
                raise RuntimeError("an update changed nothing")
            times.append(seconds)
    name = "rollout: four real stacks, max_parallel 4"
    ours = tuple(taken["ours"])
    yield Figure.of(name, "xargs -P4 pulumi up --yes", Rounds(tuple(taken[previewing]), ours), _AT_MOST)
    # without its preview, and without the look at every state that makes a moved approval void: no bar
    unseen = Rounds(tuple(taken[skipping]), ours)
    yield Figure.of(name, "xargs -P4 pulumi up --yes --skip-preview, which asks nothing before it acts", unseen, None)
    yield Amount("rollout: memory of the runner, four real stacks", memory, "MB", _MEMORY_MB, "its own process")


def laid_out(folder: Path) -> RealFleet:
    """The tests' four stacks on the lab's engine, each with its first update done."""
    engine = install.install(folder / "home", toolchain.ensure(), Path(sys.executable), "standin")
    (folder / "passphrase").write_text("of this measurement\n")
    fleet = RealFleet(folder, engine, engine.env(folder / "state", folder / "passphrase"))
    fleet.lay_out()
    for stack in STACKS:
        subprocess.run(
            [engine.pulumi, "stack", "init", stack, "--no-select"],
            cwd=fleet.project,
            env=fleet.environment,
            check=True,
            capture_output=True,
        )
    fleet.prepare()
    fleet.write_rollout(max_parallel=4, max_unavailable=4, gates=[])
    fleet.commit("measured")
    fleet.planned()
    fleet.rollout("run")
    return fleet


def _run(fleet: RealFleet) -> tuple[float, float]:
    """Wall time of `rollout run` in seconds, and the most memory that its own process had, in MB."""
    program = f"""
import sys
sys.argv = ["talos-gpu", "rollout", "run"]
from talos_gpu.cli import main
try:
    main()
finally:
    sys.stderr.write({_PEAK})
"""
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=fleet.project,
        env=fleet.environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
    )
    return time.monotonic() - began, float(done.stderr.split()[-1]) / 1e3


_PEAK = "next(line for line in open('/proc/self/status') if line.startswith('VmHWM')).split()[1]"


def _timed(command: str, fleet: RealFleet) -> float:
    began = time.monotonic()
    subprocess.run(["sh", "-c", command], cwd=fleet.project, env=fleet.environment, check=True, capture_output=True)
    return time.monotonic() - began


def _simulated() -> Iterator[Figure | Amount]:
    cpu: dict[int, list[float]] = {size: [] for size in _SIZES}
    memory = dict.fromkeys(_SIZES, 0.0)
    for size in _SIZES * _ROUNDS:
        with tempfile.TemporaryDirectory() as folder:
            costs = [_half(half, size, folder) for half in ("plan", "run")]
        cpu[size].append(sum(cost["cpu_s"] for cost in costs))
        memory[size] = max(memory[size], *(cost["mb"] for cost in costs))
    small, middle, large = _SIZES
    yield Figure(f"rollout: plan and run {large:,} simulated stacks, CPU", "a minute", 60.0, min(cpu[large]), 1.0)
    each = {size: tuple(seconds / size for seconds in times) for size, times in cpu.items()}
    for size in (small, middle):
        name = f"rollout: a stack of {large:,}"
        yield Figure.of(name, f"a stack of {size:,}", Rounds(each[size], each[large]), 1.3)
    yield Amount(
        f"rollout: memory of the runner, {large:,} stacks", memory[large], "MB", _MEMORY_MB, "simulated stacks"
    )


def _half(half: str, size: int, folder: str) -> dict[str, float]:
    words = [sys.executable, "-m", "bench.rollout_fleet", half, str(size), folder]
    done = subprocess.run(words, cwd=ROOT, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found
