"""How a node differs from what was seen of it last, by cause; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from components.drift import Cause, Drift

if TYPE_CHECKING:
    from talos_gpu.talos.effective import Kind
    from talos_gpu.talos.facts import NodeFacts

_VERSIONS = {"talos": Cause.TALOS, "kernel": Cause.KERNEL, "driver": Cause.DRIVER, "toolkit": Cause.TOOLKIT}
"""Facts that move by an upgrade of the node."""
RESTARTING = frozenset((Cause.MODULES, Cause.SYSCTLS, Cause.PART, Cause.UDEV))
"""What a config that the node has already makes hold at its next boot only."""


def shown_facts(facts: NodeFacts) -> dict[str, str]:
    """The facts a person wants, those that are known; the boot id has an output of its own."""
    named = ("talos", "kernel", "containerd", "driver", "toolkit", "bpf_jit_harden", "kptr_restrict")
    values = {name: getattr(facts, name) for name in named}
    return {name: str(value) for name, value in values.items() if value is not None}


def machine_drift(before: Mapping[str, str], facts: NodeFacts, lacks: Mapping[Kind, Sequence[str]]) -> Drift:
    """Which versions moved since the facts `before` (one that was not known then has not), and what is lacking now."""
    now = shown_facts(facts)
    moved: Drift = {
        cause: [f"{name} is {now[name]}, was {before[name]}"]
        for name, cause in _VERSIONS.items()
        if name in before and name in now and before[name] != now[name]
    }
    return moved | {Cause(f"drift_{kind}"): list(sentences) for kind, sentences in lacks.items()}
