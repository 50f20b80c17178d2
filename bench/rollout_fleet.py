"""Half of a simulated rollout, its files on the disk: `python -m bench.rollout_fleet plan|run STACKS FOLDER`.

The planner, the decisions, the journal, the plain lines and the report are the real ones; the stacks' states and the
runner are not. The journal's fdatasync is left out of the time: it is a disk's, and the same for each record.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

from talos_gpu.rollout import planner
from talos_gpu.rollout.drive import Drive
from talos_gpu.rollout.fleet import Fleet
from talos_gpu.rollout.journal import Journal
from talos_gpu.rollout.model import Gate, RolloutFile, Selector, WaveRule
from talos_gpu.rollout.page import page
from talos_gpu.rollout.plan import Change, StackPlan
from talos_gpu.rollout.records import Kind, Record
from talos_gpu.rollout.report import make, markdown
from talos_gpu.rollout.show import Lines
from talos_gpu.rollout.store import Store
from talos_gpu.rollout.versions import Source
from tests.rollout.simulation import START, FakeRunner, World


def plan(size: int, folder: Path) -> None:
    """Plan and approve a fleet of `size` stacks."""
    names = [f"talos{n:05}" for n in range(size)]
    file = RolloutFile(
        fleet="fleet",
        stacks=(Selector(glob="*"),),
        waves=(WaveRule(count=1), WaveRule(percent=1, max_parallel=16), WaveRule(percent=20, max_parallel=64)),
        clusters={f"c{n}": (f"talos{n:03}*",) for n in range(max(1, size // 100))},
        max_unavailable=2,
        gates=(Gate(name="gate", command=("true",)),),
    )

    def inspect(stack: str, cluster: str) -> StackPlan:
        changes = tuple(
            Change(op="update", type="kubernetes:apps/v1:DaemonSet", name=f"{stack}-{n}", properties=("spec.template",))
            for n in range(8)
        )
        return StackPlan(name=stack, cluster=cluster, config="c" * 64, state="s" * 64, changes=changes)

    store, source = Store.of(folder, "project", "fleet"), Source("c" * 40, "f" * 64, clean=True)
    made = planner.make(file, Path("rollout.yaml"), names, source, rollout="r" * 64, inspect=inspect)
    store.save_plan(made)
    store.approve(made, "bench")


def run(size: int, folder: Path) -> None:
    """Carry the approved plan out and write the reports. Raises RuntimeError unless all are done."""
    store = Store.of(folder, "project", "fleet")
    found = store.plan()
    store.require_approval(found)
    store.begin(found)
    found = found.slim()
    fleet = Fleet(found)
    with Journal(store.journal) as journal, (folder / "lines").open("w") as lines:
        drive = Drive(fleet, FakeRunner(World(now=START)), journal.write, [Lines(lambda line: print(line, file=lines))])
        drive.begin(Record(Kind.BEGUN, START))
        drive.run()
    made = make(found, store.records())
    (folder / "report.html").write_text(page(made))
    (folder / "report.md").write_text(markdown(made))
    if made.counts != {"done": size}:
        raise RuntimeError(f"not all are done: {made.counts}")


def main() -> None:
    """Do one half and say its cost as JSON: CPU seconds, and the most memory that this process had, in MB."""
    half, size, folder = sys.argv[1:]
    os.fdatasync = lambda _handle: None  # type: ignore[assignment]
    began = time.process_time()
    {"plan": plan, "run": run}[half](int(size), Path(folder))
    peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    print(json.dumps({"cpu_s": time.process_time() - began, "mb": int(peak.split()[1]) / 1e3}))


if __name__ == "__main__":
    main()
