"""The areas of the bench: what each is about and what it needs, in the order of the table."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from bench.figure import Row
from lab import toolchain
from lab.lab import Lab
from lab.stack import Stack
from lab.up import prepare_machine


class Needs(StrEnum):
    """What an area's `measure` is called with."""

    NOTHING = "nothing"
    """`measure()`."""
    LABS = "labs"
    """`measure()`; it brings up and ends labs of its own."""
    BARE_LAB = "a lab that is not there yet"
    """`measure(lab)`; the lab is up with its stack afterwards."""
    STACK = "a stack that is up"
    """`measure(stack)`; leaves the stack as it was."""


@dataclass(frozen=True, slots=True)
class Area:
    """`module` is bench.NAME; `about` is what the page says of it."""

    name: str
    title: str
    about: str
    needs: Needs

    def measure(self, *what: Any) -> Iterable[Row]:  # noqa: ANN401 - as `needs` says
        """The area's rows."""
        measure: Callable[..., Iterable[Row]] = importlib.import_module(f"bench.{self.name}").measure
        return measure(*what)


AREAS = (
    Area("lab", "The lab", "How long the embedded lab takes, and how much memory.", Needs.BARE_LAB),
    Area("cdi", "CDI", "The spec library and its command, beside the YAML library's own work.", Needs.NOTHING),
    Area("machine", "The machine", "A node's facts over the Talos API, and how soon a boot is noticed.", Needs.NOTHING),
    Area("rollout", "Rollout", "The runner beside `xargs`, and in fleets of up to 10,000 stacks.", Needs.NOTHING),
    Area("preview", "Preview", "The reviewing command beside the engine's own preview.", Needs.NOTHING),
    Area("program", "The program", "A preview that changes nothing, and where its time goes.", Needs.STACK),
    Area("verify", "Verify", "The proof beside the ffmpeg runs that it is made of.", Needs.STACK),
    Area("doctor", "Doctor", "A full run beside its slowest call, and how soon the command line answers.", Needs.STACK),
    Area(
        "seed_way",
        "The way by hand",
        "What one would do instead: the steps of the write-up that this project automates, taken by a script as a "
        "person would who reads it for the first time, on a lab node of their own, beside `pulumi up` of the stack on "
        "another of the same kind. A step that fails is repaired as its own messages suggest, and the repairs are "
        "counted. All times are the machine's: nobody reads, types or thinks in them; tools and images are there "
        "already on both sides, and the write-up's `apk add` is left out. What is prepared once is counted on neither "
        "side: extensions, talosconfig and kubeconfig, and here the checkout, the state's place and its passphrase; "
        "nor are the preview and the proof that docs/real-cluster.md has beside the four steps. The lab's "
        "kubelet tries a failed container again after 2 s at most; elsewhere that is up to 300 s, on both sides.",
        Needs.LABS,
    ),
)
BY_NAME = {area.name: area for area in AREAS}

Measured = Callable[[Area, Callable[[], Iterable[Row]]], None]
"""Called for each area with its work, which raises what goes wrong."""


def run(names: Sequence[str], measured: Measured) -> None:
    """Have the areas of `names` measured in order; one lab is brought up for those that share one, and ended.

    Where an area needs the stack and the area that brings it up is not among `names`, that one is run too.
    """
    wanted = [area for area in AREAS if area.name in names]
    alone = [area for area in wanted if area.needs in (Needs.NOTHING, Needs.LABS)]
    on_the_lab = [area for area in wanted if area.needs is Needs.STACK]
    bare = [area for area in AREAS if area.needs is Needs.BARE_LAB and (area in wanted or on_the_lab)]
    if any(area.needs is not Needs.NOTHING for area in wanted):
        prepare_machine(lambda line: print(line, file=sys.stderr))
    for area in alone:
        measured(area, area.measure)
    if not bare:
        return
    lab = Lab("bench", toolchain.folder())
    with lab.locked():
        lab.down()
    try:
        for area in bare:
            measured(area, lambda area=area: area.measure(lab))  # type: ignore[misc]
        for area in on_the_lab:
            measured(area, lambda area=area: area.measure(Stack(lab, lab.node())))  # type: ignore[misc]
    finally:
        lab.down()
