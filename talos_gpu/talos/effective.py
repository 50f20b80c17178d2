"""Whether a node is as its machine config should have made it."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from talos_gpu.talos.facts import UDEV_RULES, NodeFacts
from talos_gpu.talos.machine_config import BPF_JIT_HARDEN, GpuMachineConfig
from talos_gpu.talos.part import PART_PATH, part_differences
from talos_gpu.talos.udev import same_rule


class Kind(StrEnum):
    """What of a node may differ from its machine config."""

    MODULES = "modules"
    SYSCTLS = "sysctls"
    PART = "part"
    UDEV = "udev"
    LABEL = "label"


def effective_differences(facts: NodeFacts, labels: Mapping[str, str] | None, want: GpuMachineConfig) -> list[str]:
    """Return what the node's effective state lacks of `want`, a sentence each; empty if nothing.

    `labels` are the Node object's, None where the cluster was not asked (then they are not judged). A fact that is
    wanted but could not be read counts as lacking, with the reason; not so the udev rules, whose loss no container
    sees: they are judged where their file is there and can be read, on releases before 1.14.
    """
    return [sentence for found in by_kind(facts, labels, want).values() for sentence in found]


def by_kind(facts: NodeFacts, labels: Mapping[str, str] | None, want: GpuMachineConfig) -> dict[Kind, list[str]]:
    """As `effective_differences`, by what of the node it is; kinds without a difference are left out."""
    found = {
        Kind.MODULES: _modules(facts, want),
        Kind.SYSCTLS: _sysctls(facts, want),
        Kind.PART: _part(facts, want),
        Kind.UDEV: _udev(facts, want),
        Kind.LABEL: _labels(labels, want),
    }
    return {kind: sentences for kind, sentences in found.items() if sentences}


def _modules(facts: NodeFacts, want: GpuMachineConfig) -> list[str]:
    if facts.modules is None:
        return [f"the loaded kernel modules could not be read: {facts.unread['modules']}"]
    return [f"kernel module {name} is not loaded" for name in want.modules if name not in facts.modules]


def _sysctls(facts: NodeFacts, want: GpuMachineConfig) -> list[str]:
    value = want.sysctls.get(BPF_JIT_HARDEN)
    if value is None or str(facts.bpf_jit_harden) == value:
        return []
    if facts.bpf_jit_harden is None:
        return [f"sysctl {BPF_JIT_HARDEN} could not be read: {facts.unread['bpf_jit_harden']}"]
    return [f"sysctl {BPF_JIT_HARDEN} is {facts.bpf_jit_harden}, wanted {value}"]


def _part(facts: NodeFacts, want: GpuMachineConfig) -> list[str]:
    if want.part is None:
        return []
    if facts.part is None:
        return [f"{PART_PATH} could not be read: {facts.unread['part']}"]
    if not facts.part:
        return [f"{PART_PATH} is not there"]
    return [f"{PART_PATH}: {difference}" for difference in part_differences(want.part, facts.part)]


def _udev(facts: NodeFacts, want: GpuMachineConfig) -> list[str]:
    if facts.udev_rules is None or "UdevRulesConfig" in want.documents:
        return []
    rules = facts.udev_rules.splitlines()
    return [f"{UDEV_RULES} lacks the rule {rule}" for rule in want.udev_rules if not same_rule(rule, rules)]


def _labels(labels: Mapping[str, str] | None, want: GpuMachineConfig) -> list[str]:
    if labels is None:
        return []
    return [
        f"node label {name} is {labels[name]!r}, wanted {value!r}"
        if name in labels
        else f"node label {name} is missing"
        for name, value in want.node_labels.items()
        if labels.get(name) != value
    ]
