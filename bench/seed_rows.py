"""What two ways to an encoding worker say beside each other, as rows; the way by hand is the reference."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from bench.figure import Beside, Note, Row, Steps
from bench.rounds import By, Rounds
from bench.steps import WAIT_FOR_A_FINISHED_POD, Step
from bench.words import counted, quantity

INSTALLS, REBOOTS, RESTARTS = 3, 3, 5
_LONG_WAIT = 5.0
"""Seconds: a pod that ends before it is looked at is never Ready, and the write-up then waits for a minute."""
PATIENCE, ALONE = 120.0, 45.0
"""Seconds: until a reboot counts as not survived, and for which a node is left alone after an upgrade."""
HAND, OURS = "by hand", "this project"
TO_THE_WORKER = {who: f"seed way: {who}, to an encoding worker" for who in (HAND, OURS)}
AFTER_UPGRADE = {who: f"seed way: {who}, after a driver upgrade" for who in (HAND, OURS)}
AFTER_REBOOT = "seed way: GPU broken after a reboot"
AT_BOOT = "seed way: the same, the spec made anew at boot"


@dataclass(frozen=True, slots=True)
class Exposed:
    """How long a spec that must not be used was to be seen, in seconds, once for each time."""

    watched_s: float
    looks: int
    unpatched: tuple[float, ...]
    """Below /run/cdi, where both ways install."""
    half: tuple[float, ...]
    """There too: neither the patched nor the unpatched spec."""
    elsewhere: tuple[float, ...]
    """Unpatched in another folder that containerd is told to watch."""


@dataclass(frozen=True, slots=True)
class Went:
    """How one way went."""

    installs: tuple[tuple[Step, ...], ...]
    """The steps to an encoding worker, each time from a bare node."""
    broken: tuple[float | None, ...]
    """After each reboot: seconds from the node's Ready to the first encode that works."""
    exposed: Exposed
    cri: str
    """Why a pod that asks by a CRI device did not run; empty where it did."""
    cri_steps: tuple[Step, ...]
    """What the person did about it."""
    alone: float | None
    """As `broken`, after the upgrade, nobody touching anything; None: not while it was left alone."""
    mending: tuple[Step, ...]
    automatic: float | None = None
    """As `alone`, with the way's own automatic; None where it has none."""


def rows(hand: Went, ours: Went) -> Iterator[Row]:
    """The figures of two ways; `hand` is the reference."""
    yield from _installed(hand, ours)
    yield _broken(hand.broken, ours.broken)
    yield from _visible(hand.exposed, ours.exposed)
    yield from _by_cri(hand, ours)
    yield from _after_the_upgrade(hand, ours)
    yield Steps(TO_THE_WORKER[HAND], _typical(hand.installs))
    yield Steps(TO_THE_WORKER[OURS], _typical(ours.installs))
    yield Steps(AFTER_UPGRADE[HAND], hand.mending)
    yield Steps(AFTER_UPGRADE[OURS], ours.mending)


def _installed(hand: Went, ours: Went) -> Iterator[Row]:
    name, own = "seed way: a bare node to an encoding worker", tuple(map(_seconds, ours.installs))
    theirs = tuple(map(_seconds, hand.installs))
    yield Beside.of(name, HAND, Rounds(theirs, own, By.MEDIAN), "s", "as written")
    waited = [_seconds(step for step in steps if step.what == WAIT_FOR_A_FINISHED_POD) for steps in hand.installs]
    if max(waited) > _LONG_WAIT:
        without = tuple(whole - wait for whole, wait in zip(theirs, waited, strict=True))
        why = f"without waiting for the generator's pod to be Ready, {quantity(By.MEDIAN.of(waited), 's')}"
        yield Beside.of(name, HAND, Rounds(without, own, By.MEDIAN), "s", why)
    steps, mine = _typical(hand.installs), _typical(ours.installs)
    among = f"{counted(sum(step.repair for step in steps), 'repair')} among the steps by hand"
    yield Beside("seed way: a person's steps to it", HAND, len(steps), len(mine), "steps", among)
    more = By.MEDIAN.of(own) - By.MEDIAN.of(theirs)
    if len(steps) > len(mine) and more > 0:
        even = more / (len(steps) - len(mine))
        yield Note(
            "seed way: where a person is slower than the script",
            f"with more than {quantity(even, 's')} of reading, typing and thinking a step this project is there sooner",
        )


def _broken(hand: Sequence[float | None], ours: Sequence[float | None]) -> Beside:
    name, why = AFTER_REBOOT, "from the node's Ready to the first encode that works"
    theirs, own = (tuple(value for value in side if value is not None) for side in (hand, ours))
    if len(theirs) == len(hand) and len(own) == len(ours):
        return Beside.of(name, HAND, Rounds(theirs, own, By.MEDIAN), "s", why)
    medians = [By.MEDIAN.of(some) if len(some) == len(of) else None for some, of in ((theirs, hand), (own, ours))]
    return Beside(name, HAND, medians[0], medians[1], "s", f"{why}; never: not within {PATIENCE:.0f} s")


def _visible(hand: Exposed, ours: Exposed) -> Iterator[Beside]:
    starts = f"{1 + REBOOTS + RESTARTS} starts of the installer"
    for what, theirs, own in (
        ("an unpatched spec visible where specs are installed", hand.unpatched, ours.unpatched),
        ("a half-written spec visible there", hand.half, ours.half),
    ):
        longest = f", the longest {max(theirs) * 1e3:.1f} ms" if theirs else ""
        why = f"{counted(len(theirs), 'time')} in {starts}{longest}; ours {counted(len(own), 'time')}"
        yield Beside(f"seed way: {what}", HAND, sum(theirs), sum(own), "s", why)
    watched = " and ".join(
        f"{side.watched_s:.0f} s ({side.looks / side.watched_s:.0f} looks/s)" for side in (hand, ours)
    )
    why = f"/var/cdi is the last of its folders; watched for {watched}"
    name = "seed way: an unpatched spec visible in another watched folder"
    yield Beside(name, HAND, sum(hand.elsewhere), sum(ours.elsewhere), "s", why)


def _by_cri(hand: Went, ours: Went) -> Iterator[Row]:
    name = "seed way: steps until a pod with a CRI device runs, from the encoding worker on"
    yield Beside(name, HAND, len(hand.cri_steps), len(ours.cri_steps), "steps")
    for who, why in ((HAND, hand.cri), (OURS, ours.cri)):
        yield Note(f"seed way: a pod with a CRI device, {who}", why or "runs at once")


def _after_the_upgrade(hand: Went, ours: Went) -> Iterator[Row]:
    why = f"never: not within {ALONE:.0f} s, and nothing is at work that would mend it"
    yield Beside("seed way: GPU broken after a driver upgrade, nobody at it", HAND, hand.alone, ours.alone, "s", why)
    own = "with `cdi.regenerate: boot`; by hand there is nothing like it"
    yield Beside(AT_BOOT, HAND, hand.alone, ours.automatic, "s", own)
    steps = len(hand.mending), len(ours.mending)
    yield Beside("seed way: a person's steps that mend it", HAND, *steps, "steps")
    seconds = _seconds(hand.mending), _seconds(ours.mending)
    yield Beside("seed way: seconds of those steps", HAND, *seconds, "s")


def _typical(installs: Sequence[tuple[Step, ...]]) -> tuple[Step, ...]:
    """The round of which as many took longer as took less."""
    return sorted(installs, key=_seconds)[len(installs) // 2]


def _seconds(steps: Iterable[Step]) -> float:
    return sum(step.seconds for step in steps)
