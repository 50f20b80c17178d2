"""The doctor on the running lab: what it finds while faults are there, and the table of that."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lab.paths import PROJECT
from talos_gpu.doctor.bundle import Bundle
from talos_gpu.doctor.diagnose import diagnose
from talos_gpu.doctor.finding import Diagnosis
from talos_gpu.doctor.gather import gather
from talos_gpu.settings.stack_file import stack_settings
from tests.doctor.fault_table import PAGE, live_section, section, with_section
from tests.lab import cluster_faults, node_faults, pod_faults
from tests.lab.conftest import MainJob, wait_for
from tests.lab.live_fault import LiveFault, all_of

BY_NAME = {one.name: one for one in (*node_faults.FAULTS, *pod_faults.FAULTS, *cluster_faults.FAULTS)}
Together = tuple[LiveFault, ...]
SETTLED = 20.0
"""Seconds in which the installer has looked at the host and been probed several times."""


def gathered(job: MainJob, asked: Mapping[str, Any] | None = None) -> Bundle:
    """What the lab's real APIs say now."""
    asked = asked or {}
    settings = stack_settings(Path(asked.get("stack", job.stack.config)))
    return asyncio.run(gather(job.stack.name, settings, upgrade_to=asked.get("upgrade_to")))


def roots(diagnosis: Diagnosis) -> set[str]:
    return {finding.check for finding in diagnosis.roots}


def told(diagnosis: Diagnosis) -> str:
    return json.dumps([(one.check, one.explained_by, one.evidence) for one in diagnosis.findings], indent=1)


def healthy(job: MainJob) -> None:
    """Returns when the doctor finds nothing."""
    seen: list[str] = []

    def nothing() -> bool:
        diagnosis = diagnose(gathered(job))
        seen[:] = [told(diagnosis)]
        return not diagnosis.findings

    try:
        wait_for("the doctor finds nothing", nothing)
    except AssertionError:
        raise AssertionError(f"the doctor still finds {seen}") from None


class Seen:
    """Roots by the faults that were made, of one test file."""

    def __init__(self, heading: str, faults: Sequence[LiveFault], pairs: Sequence[tuple[str, str]]) -> None:
        self._heading = heading
        self._faults = faults
        self._pairs = [(BY_NAME[one], BY_NAME[other]) for one, other in pairs]
        self._roots: dict[Together, set[str]] = {}

    def found(self, job: MainJob, *faults: LiveFault) -> Diagnosis:
        """The diagnosis while something is broken; the node is healthy again afterwards.

        A fault reaches the doctor through probes, events and controllers, each in its own time: until the wanted roots
        are what is found, it is asked again for SETTLED seconds. Then it is asked once more, so that a false root which
        appears a moment after the true one is counted; that last diagnosis counts, whatever it says.
        """
        wanted = frozenset().union(*(fault.roots for fault in faults))
        until = time.monotonic() + SETTLED
        with all_of(job, *faults) as asked:
            diagnosis = diagnose(gathered(job, asked))
            while roots(diagnosis) != wanted and time.monotonic() < until:
                diagnosis = diagnose(gathered(job, asked))
            diagnosis = diagnose(gathered(job, asked))
        self._roots[faults] = roots(diagnosis)
        healthy(job)
        return diagnosis

    def pin(self, job: MainJob) -> None:
        """The table of what was found is the one in docs/faults.md; faults that were deselected are made now."""
        tried: list[Together] = [*((one,) for one in self._faults), *self._pairs]
        true = false = missed = 0
        rows = []
        for faults in tried:
            if faults not in self._roots:
                self.found(job, *faults)
            have, wanted = self._roots[faults], frozenset().union(*(fault.roots for fault in faults))
            true, false, missed = true + len(have & wanted), false + len(have - wanted), missed + len(wanted - have)
            rows.append((" + ".join(fault.name for fault in faults), ", ".join(sorted(have))))
        verdict = f"Precision {true / (true + false):.3f}, recall {true / (true + missed):.3f}"
        count = f"{len(self._faults)} faults and {len(self._pairs)} pairs"
        text = live_section(self._heading, rows, f"{count}. {verdict}")
        if os.environ.get("TALOS_GPU_WRITE_DOCS"):
            PAGE.write_text(with_section(PAGE.read_text(), self._heading, text))
        assert section(PAGE.read_text(), self._heading) == text


def command(*words: str) -> subprocess.CompletedProcess[str]:
    """`talos-gpu WORDS`."""
    return subprocess.run(
        [sys.executable, "-m", "talos_gpu", *words], cwd=PROJECT, capture_output=True, text=True, check=False
    )


def well(job: MainJob) -> None:
    """The GPU of the stack, as its file says now, is proven by `verify`, and `doctor` finds nothing."""
    where = (job.stack.name, "--project", str(job.lab.paths.root))
    verified = command("verify", *where)
    assert verified.returncode == 0, verified.stdout + verified.stderr
    healthy(job)  # an event of the boot may still be young
    told_nothing = command("doctor", *where)
    assert told_nothing.returncode == 0, told_nothing.stdout + told_nothing.stderr
