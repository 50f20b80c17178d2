"""The write-up's steps by hand against `pulumi up` of the stack, each on a lab node of its own, of the same kind.

Both end with the same worker on the same pretended GPU and prove it by the same encode. Then both are rebooted, their
installers are restarted, a pod asks for the GPU by a CRI device, and the driver is upgraded. A watch looks
all the time at the folders from which containerd takes specs. No reading, typing or thinking is in any time.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

from bench.by_hand import ByHand
from bench.by_stack import ByStack
from bench.exposure import Watch, watching
from bench.figure import Row
from bench.seed_objects import SOURCE
from bench.seed_rows import ALONE, INSTALLS, PATIENCE, REBOOTS, RESTARTS, Exposed, Went, rows
from bench.steps import Person, Step
from bench.worksite import Worksite
from lab import toolchain

NEWER, OLDER = "535.261.03", "535.247.01"
"""Drivers: what the node is upgraded to, and what it had."""
_LABS: Mapping[type[ByHand | ByStack], str] = {ByHand: "bench-hand", ByStack: "bench-stack"}
_PART = "/etc/cri/conf.d/20-customization.part"
_INSTALLER = "app=nvidia-cdi-init"
_FOLDERS = {"/etc/cdi": "/etc/cdi", "/var/run/cdi": "/run/cdi", "/var/cdi": "/var/cdi"}
"""Folders that either way tells containerd of, and where they really are: /var/run is a link."""


class Way(Protocol):
    """What both ways can do."""

    person: Person

    def reach_an_encode(self) -> None:
        """From a bare node to a worker that encodes."""
        ...

    def mend_after_an_upgrade(self) -> None:
        """What the person does when another driver is loaded."""
        ...


def measure() -> Iterator[Row]:
    """Every figure; about twelve minutes on an idle machine."""
    binaries = toolchain.folder()
    installs: dict[type[ByHand | ByStack], list[tuple[Step, ...]]] = {ByHand: [], ByStack: []}
    for _ in range(INSTALLS - 1):
        for kind, taken in installs.items():
            with Worksite.fresh(_LABS[kind], binaries) as site:
                way = kind(site)
                way.reach_an_encode()
                taken.append(tuple(way.person.steps))
    with Worksite.fresh(_LABS[ByHand], binaries) as site:
        hand = _by_hand(site, installs[ByHand])
    with Worksite.fresh(_LABS[ByStack], binaries) as site:
        stack = _by_stack(site, installs[ByStack])
    yield from rows(hand, stack)


def _by_hand(site: Worksite, before: list[tuple[Step, ...]]) -> Went:
    way = ByHand(site)
    steps, broken, exposed = _reached(site, way)
    cri, cri_steps = _during(way.person, way.mend_the_folders)
    alone, mending = _upgraded(site, way, NEWER)
    return Went((*before, steps), broken, exposed, cri, cri_steps, alone, mending)


def _by_stack(site: Worksite, before: list[tuple[Step, ...]]) -> Went:
    way = ByStack(site)
    steps, broken, exposed = _reached(site, way)
    cri, cri_steps = _during(way.person, way.ask_by_cri_device)
    alone, mending = _upgraded(site, way, NEWER)
    way.regenerate_at_boot()
    site.upgrade_driver(OLDER)
    return Went((*before, steps), broken, exposed, cri, cri_steps, alone, mending, site.broken_for(PATIENCE))


def _reached(site: Worksite, way: Way) -> tuple[tuple[Step, ...], tuple[float | None, ...], Exposed]:
    with watching(site.node, [f"{folder}/nvidia.yaml" for folder in _FOLDERS.values()]) as watch:
        way.reach_an_encode()
        steps = tuple(way.person.steps)
        broken = []
        for _ in range(REBOOTS):
            site.reboot()
            broken.append(site.broken_for(PATIENCE))
        for _ in range(RESTARTS):
            site.restart_installer(_INSTALLER)
    return steps, tuple(broken), _exposed(site, watch)


def _exposed(site: Worksite, watch: Watch) -> Exposed:
    part = tomllib.loads(site.inside(_PART).read_text())
    told = part["plugins"]["io.containerd.cri.v1.runtime"]["cdi_spec_dirs"]
    installed = "/run/cdi/nvidia.yaml"
    source, good = (site.inside(path).read_bytes() for path in (SOURCE, installed))
    others = [f"{_FOLDERS[folder]}/nvidia.yaml" for folder in told if _FOLDERS[folder] != "/run/cdi"]
    return Exposed(
        sum(sight.seconds for sight in watch.sights if sight.path == installed),
        watch.looks,
        tuple(watch.of(installed, lambda content: content == source)),
        tuple(watch.of(installed, lambda content: content not in (source, good))),
        tuple(seconds for path in others for seconds in watch.of(path, lambda content: content == source)),
    )


def _upgraded(site: Worksite, way: Way, driver: str) -> tuple[float | None, tuple[Step, ...]]:
    site.upgrade_driver(driver)
    alone = site.broken_for(ALONE)
    _, steps = _during(way.person, way.mend_after_an_upgrade)
    return alone, steps


def _during(person: Person, work: Callable[[], str | None]) -> tuple[str, tuple[Step, ...]]:
    """What `work` said, and the person's steps in it."""
    before = len(person.steps)
    said = work() or ""
    return said, tuple(person.steps[before:])
