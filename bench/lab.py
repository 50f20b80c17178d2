"""The lab: how long until its node is Ready, how long `up` takes, what it keeps in memory, what a first build costs."""

from __future__ import annotations

import time
from collections.abc import Iterator

from bench.figure import Amount, Note
from lab import kubectl, toolchain, tools
from lab.lab import Lab
from lab.memory import pss
from lab.up import bring_up

_MIB = 1024
_READY_BAR, _UP_BAR, _MEMORY_BAR, _BUILD_BAR = 15.0, 90.0, 1024.0, 25.0


def measure(lab: Lab) -> Iterator[Amount | Note]:
    """Every figure of a lab that is not there yet; it is up afterwards. Two minutes."""
    yield _ready(lab)
    yield from _up(lab)
    yield _memory(lab)
    yield from _build()


def _ready(lab: Lab) -> Amount:
    started = time.monotonic()
    lab.make()
    lab.start(lambda _: None)
    kubectl.wait_node_ready(lab, [node.name for node in lab.nodes])
    seconds = time.monotonic() - started
    lab.down()
    return Amount("lab: start to node Ready, programs built", seconds, "s", _READY_BAR)


def _up(lab: Lab) -> Iterator[Amount | Note]:
    said: list[str] = []
    report = bring_up(lab.paths.name, said.append)
    yield Amount("lab: up, from nothing running to the table", report.seconds, "s", _UP_BAR)
    for claim in report.claims:
        if claim.verdict == "failed":
            yield Note(f"lab: {claim.id} FAILED", claim.evidence)


def _memory(lab: Lab) -> Amount:
    """PSS of every process of the lab; Pulumi does not run now."""
    sizes = sorted(((size, name) for name, size in pss([lab])), reverse=True)
    largest = ", ".join(f"{name} {kib / _MIB:.0f}" for kib, name in sizes[:4])
    return Amount(
        "lab: memory with one node",
        sum(kib for kib, _ in sizes) / _MIB,
        "MiB PSS",
        _MEMORY_BAR,
        f"most of it: {largest}",
    )


def _build() -> Iterator[Amount | Note]:
    """What this cache's programs took to build, each when it was built."""
    seconds = toolchain.build_seconds()
    if unknown := [tool.name for tool in tools.ALL_TOOLS if tool.name not in seconds]:
        yield Note("lab: first build", f"not known of {', '.join(unknown)}: found, not built here")
        return
    slowest = sorted(seconds.items(), key=lambda item: -item[1])[:3]
    yield Amount(
        "lab: first build of all programs",
        sum(seconds.values()) / 60,
        "min",
        _BUILD_BAR,
        ", ".join(f"{name} {taken / 60:.1f}" for name, taken in slowest),
    )
