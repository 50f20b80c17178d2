"""Whether a node is as its machine config should have made it."""

from __future__ import annotations

from collections.abc import Mapping

from talos_gpu.talos.facts import NodeFacts
from talos_gpu.talos.machine_config import BPF_JIT_HARDEN, GpuMachineConfig
from talos_gpu.talos.part import PART_PATH, part_differences


def effective_differences(facts: NodeFacts, labels: Mapping[str, str] | None, want: GpuMachineConfig) -> list[str]:
    """Return what the node's effective state lacks of `want`, a sentence each; empty if nothing.

    `labels` are the Node object's, None where the cluster was not asked (then they are not judged). A fact that is
    wanted but could not be read counts as lacking, with the reason. udev rules leave no trace that could be read.
    """
    return [*_modules(facts, want), *_sysctls(facts, want), *_part(facts, want), *_labels(labels, want)]


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
