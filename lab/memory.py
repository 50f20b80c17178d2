"""What a lab keeps in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from lab.lab import Lab


def pss(labs: Sequence[Lab]) -> Iterator[tuple[str, int]]:
    """Name and proportional set size, in KiB, of every process of the labs: nodes, pods, control planes.

    Proportional (/proc/PID/smaps_rollup): a page that several processes share is counted once in the sum.
    """
    marks = [(str(lab.paths.root) + "/", f"talos-lab-{lab.paths.tag}-") for lab in labs]
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command, groups = ((process / name).read_text(errors="replace") for name in ("cmdline", "cgroup"))
            if any(root in command or group in groups for root, group in marks):
                lines = (process / "smaps_rollup").read_text().splitlines()
                [size] = [line.split()[1] for line in lines if line.startswith("Pss:")]
                yield (process / "comm").read_text().strip(), int(size)
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has ended


def mib(labs: Sequence[Lab]) -> float:
    """All of it, in MiB."""
    return sum(size for _, size in pss(labs)) / 1024
