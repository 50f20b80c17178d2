"""Which stacks, and in which waves: pure functions of rollout.yaml and of the stacks' names."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

from talos_gpu.rollout.globs import Names
from talos_gpu.rollout.model import RolloutFile, Selector, WaveRule
from talos_gpu.rollout.plan import Wave
from talos_gpu.settings.faults import Fault, did_you_mean

DEFAULT_CLUSTER = "default"
"""The cluster of stacks that rollout.yaml puts in none: the limits hold for all of them together."""
_CANARY = (WaveRule(name="canary", count=1), WaveRule(name="rest", percent=100))


def labels_of(file: RolloutFile, names: Sequence[str]) -> Mapping[str, Mapping[str, str]]:
    """The labels of each stack; a later entry of `labels` wins."""
    found: dict[str, dict[str, str]] = {name: {} for name in names}
    index = Names(names)
    for glob, labels in file.labels.items():
        for name in index.matching([glob]):
            found[name].update(labels)
    return found


def clusters_of(file: RolloutFile, names: Sequence[str]) -> tuple[Mapping[str, str], list[Fault]]:
    """The cluster of each stack, and the faults: a stack in two clusters."""
    found: dict[str, str] = {}
    faults = []
    index = Names(names)
    for cluster, patterns in file.clusters.items():
        for name in index.matching(patterns):
            if name in found:
                faults.append(Fault(f"clusters.{cluster}", repr(name), f"is in the cluster {found[name]!r} as well"))
            else:
                found[name] = cluster
    return {name: found.get(name, DEFAULT_CLUSTER) for name in names}, faults


def select(file: RolloutFile, known: Sequence[str]) -> tuple[list[str], list[Fault]]:
    """The stacks in the file's order without repetition, and the faults: selectors that select nothing.

    `known` are the names of all stacks that there are.
    """
    labels, every = labels_of(file, known), Names(known)
    chosen: dict[str, None] = {}
    faults = []
    for index, selector in enumerate(file.stacks):
        found = list(_selected(selector, every, labels))
        if not found:
            value = selector.name or selector.glob or selector.label or ""
            remedy = did_you_mean(value, known) if selector.name else f"stacks there: {', '.join(known) or 'none'}"
            faults.append(Fault(f"stacks[{index}]", repr(value), "selects no stack", remedy))
        chosen.update(dict.fromkeys(found))
    return list(chosen), faults


def unmatched(file: RolloutFile, known: Sequence[str]) -> list[Fault]:
    """The faults of globs under `clusters` and `holds` that fit no stack: a word mistyped there would limit nothing."""
    clusters = [(f"clusters.{cluster}", glob) for cluster, globs in file.clusters.items() for glob in globs]
    return no_stack([*clusters, *(("holds", glob) for glob in file.holds)], known)


def no_stack(globs: Iterable[tuple[str, str]], known: Sequence[str]) -> list[Fault]:
    """A fault for each glob that fits no stack in `known`; with each glob its place."""
    every = Names(known)
    return [
        Fault(path, repr(glob), "fits no stack", did_you_mean(glob, known))
        for path, glob in globs
        if not every.matching([glob])
    ]


def _selected(selector: Selector, every: Names, labels: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    if selector.label is not None:
        key, _, value = selector.label.partition("=")
        yield from (name for name, its in labels.items() if its.get(key) == value)
    else:
        yield from every.matching([selector.name or selector.glob or ""])


def divide(file: RolloutFile, stacks: Sequence[str]) -> tuple[list[Wave], list[Fault]]:
    """The waves over `stacks`, every stack in exactly one, and the faults: stacks that no wave has, empty names."""
    rules = file.waves or _CANARY
    every = Names(stacks)
    named = [every.matching(rule.stacks or ()) for rule in rules]
    faults = []
    owner: dict[str, int] = {}
    for index, names in enumerate(named):
        faults += [
            Fault(f"waves[{index}]", repr(name), f"is in waves[{owner[name]}] as well")
            for name in names
            if owner.setdefault(name, index) != index
        ]
        if rules[index].stacks is not None and not names:
            faults.append(Fault(f"waves[{index}].stacks", "", "names no stack of this rollout"))
    rest = [name for name in stacks if name not in owner]
    waves: list[Wave] = []
    position = 0
    for index, rule in enumerate(rules):
        members = [name for name in named[index] if owner[name] == index]
        if rule.stacks is None:
            size = _size(rule, len(stacks))
            repeat = not any(later.stacks is None for later in rules[index + 1 :])
            stop = len(rest) if repeat else min(position + size, len(rest))
            while position < stop:
                waves.append(_wave(file, rule, rest[position : min(position + size, stop)], waves))
                position += size
            position = min(position, stop)
        elif members:
            waves.append(_wave(file, rule, members, waves))
    if position < len(rest):
        left = rest[position:]
        shown = ", ".join(left[:5]) + (f" and {len(left) - 5} more" if len(left) > 5 else "")
        faults.append(Fault("waves", "", f"leave out {shown}", "add a wave with count, or percent: 100, at the end"))
    return waves, faults


def _size(rule: WaveRule, total: int) -> int:
    return rule.count or max(1, math.ceil(total * (rule.percent or 0) / 100))


def _wave(file: RolloutFile, rule: WaveRule, members: Sequence[str], before: Sequence[Wave]) -> Wave:
    return Wave(
        name=_fresh(rule.name, before) if rule.name else f"wave {len(before) + 1}",
        stacks=tuple(members),
        max_parallel=rule.max_parallel or file.max_parallel,
        soak_s=file.soak_s if rule.soak_s is None else rule.soak_s,
    )


def _fresh(name: str, before: Sequence[Wave]) -> str:
    """A rule that repeats numbers its waves: `rest`, `rest 2`."""
    same = sum(wave.name == name or wave.name.startswith(f"{name} ") for wave in before)
    return f"{name} {same + 1}" if same else name
