"""What a run could leave on the machine, looked at before and after."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from gpu_proof.machine import INSTALLED
from gpu_proof.record import Record, proven
from gpu_proof.runtime import CGROUP

_CGROUPS = Path("/sys/fs/cgroup")
_OURS = ("containerd", "containerd-shim", "lab-node", "runc", "gpu-work", "unshare")
_WITHIN = 10.0


def seen() -> dict[str, list[str]]:
    """Mounts, cgroups, interfaces, installed paths and processes of ours, by kind."""
    return {
        "mounts": sorted(line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()),
        "cgroups": sorted(path.name for path in _CGROUPS.iterdir() if path.is_dir()),
        "interfaces": sorted(path.name for path in Path("/sys/class/net").iterdir()),
        "files": sorted(path for path in INSTALLED if Path(path).exists()),
        "processes": sorted(_processes()),
    }


def _processes() -> Iterator[str]:
    for path in Path("/proc").glob("[0-9]*/comm"):
        try:
            name = path.read_text().strip()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if name.startswith(_OURS):
            yield name


def clean() -> None:
    """Remove our cgroups: a killed run leaves them, empty, because they outlive the namespaces."""
    for top in (CGROUP, "talos-lab-proof-lab-1"):
        folder, until = _CGROUPS / top, time.monotonic() + _WITHIN
        while folder.exists():
            try:
                for group in sorted((path for path in folder.rglob("*") if path.is_dir()), reverse=True):
                    group.rmdir()
                folder.rmdir()
            except OSError:  # busy until the last of its processes has been reaped
                if time.monotonic() > until:
                    raise
                time.sleep(0.05)


def prove(before: dict[str, list[str]]) -> Iterator[Record]:
    """One record: nothing more than before."""
    after = seen()
    more = {kind: sorted(set(names) - set(before[kind])) for kind, names in after.items()}
    left = {kind: names for kind, names in more.items() if names}
    yield Record(
        "clean/nothing-left",
        "no mount, cgroup, interface, file or process stays",
        "before and after",
        str(left or "nothing left"),
        proven(not left),
    )
