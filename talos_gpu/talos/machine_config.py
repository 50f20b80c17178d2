"""What a node's machine config must hold for the GPU, and which of it a base config lacks.

Decided from the seed's config and from what was read in siderolabs/talos v1.11.1:
- modules: the extension's modprobe conf blacklists them, so `machine.kernel.modules` must name them. Parameters that a
  base gives one of them stay. The kernel takes `-` and `_` in a name for the same.
- udev: only the two `drm` rules act. The seed's others match no node name (`nvidia`, `nvidia_uvm`) or nodes that
  nvidia-modprobe makes without udev, so they are not asked for; a base that has them keeps them.
- files: the entry for the containerd part alone, merged into the base's where there is one. Talos knows that file by
  this very spelling of its path, does not boot with two entries for it (WriteUserFiles), and gives it mode 0600
  whatever the entry says; omitted permissions mean 0000 elsewhere, so they are said. The seed's two `.keep` files do
  harm or nothing.
- what is added is made from the stored base, never from the node's live config.
- 1.14 has documents for modules and udev rules and deprecates the v1alpha1 fields (not proven here): additions go where
  the base has its own, else into documents. Modules of both count together; a UdevRulesConfig takes the place of
  v1alpha1's rules (pkg/machinery/config/container/container.go).
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from talos_gpu.talos.base_config import BaseConfig
from talos_gpu.talos.errors import MachineConfigConflict
from talos_gpu.talos.part import PART_PATH, part_toml
from talos_gpu.talos.part_merge import left_over, merge_part
from talos_gpu.talos.releases import Method, ReleaseFacts
from talos_gpu.talos.udev import UdevRule, same_rule

MODULES = ("nvidia", "nvidia_uvm", "nvidia_drm", "nvidia_modeset")
UDEV_RULES = (
    'SUBSYSTEM=="drm", KERNEL=="renderD*", GROUP="44", MODE="0660"',
    'SUBSYSTEM=="drm", KERNEL=="card*", GROUP="44", MODE="0660"',
)
LABEL = ("node.kubernetes.io/gpu-vendor", "nvidia")
BPF_JIT_HARDEN = "net.core.bpf_jit_harden"
NEW_KINDS = frozenset(("KernelModuleConfig", "UdevRulesConfig", "CRICustomizationConfig"))
"""Documents of 1.14 that take the place of v1alpha1 fields used here."""


@dataclass(frozen=True, slots=True)
class GpuMachineConfig:
    """The wanted GPU parts of a machine config."""

    method: Method
    modules: tuple[str, ...] = MODULES
    udev_rules: tuple[str, ...] = UDEV_RULES
    node_labels: Mapping[str, str] = field(default_factory=lambda: dict([LABEL]))
    sysctls: Mapping[str, str] = field(default_factory=dict)
    part: str | None = None
    """Text of the containerd part; None where the method needs none."""
    documents: frozenset[str] = frozenset()
    """Kinds of new documents that the release knows."""


@dataclass(frozen=True, slots=True)
class Lacking:
    """What a base config lacks."""

    patches: tuple[str, ...]
    """Additions (YAML) for talos_gpu.talos.render, in order; empty if nothing is lacking."""
    items: tuple[str, ...]
    """The same in words, one thing an item."""
    warnings: tuple[str, ...] = ()
    """What of the base stays, but better would not."""


def wanted(release: ReleaseFacts, method: Method, *, default_runtime: bool = False) -> GpuMachineConfig:
    """Return what `method` needs on `release`; raise MethodUnfit where it does not work there.

    `default_runtime` makes the NVIDIA runtime the one of every pod (method spec only).
    """
    release.require(method)
    kinds = release.documents
    match method:
        case Method.SPEC:
            part = part_toml(release, default_runtime=default_runtime)
            return GpuMachineConfig(method, part=part, documents=kinds)
        case Method.SYSCTL:
            return GpuMachineConfig(method, sysctls={BPF_JIT_HARDEN: "1"}, documents=kinds)
        case Method.JIT | Method.NATIVE:
            return GpuMachineConfig(method, documents=kinds)


def lacking(base: str, want: GpuMachineConfig) -> Lacking:
    """Compare `base` (YAML, one document or several) with `want`.

    Raises MachineConfigInvalid if the base cannot be read, MachineConfigConflict with every clash.
    """
    config = BaseConfig.parse(base)
    comparison = _Comparison(config)
    comparison.kinds(want.documents)
    comparison.udev_documents()
    modules, rules = comparison.modules(want.modules), comparison.udev_rules(want.udev_rules)
    machine: dict[str, Any] = {}
    documents: list[dict[str, Any]] = []
    if modules and _in_documents("KernelModuleConfig", "kernel.modules", config, want):
        documents += [{"apiVersion": "v1alpha1", "kind": "KernelModuleConfig", "name": name} for name in modules]
    elif modules:
        machine["kernel"] = {"modules": [{"name": name} for name in modules]}
    if rules and _in_documents("UdevRulesConfig", "udev.rules", config, want):
        documents.append({"apiVersion": "v1alpha1", "kind": "UdevRulesConfig", "rules": rules})
    elif rules:
        machine["udev"] = {"rules": rules}
    if labels := comparison.pairs("nodeLabels", "node label", config.node_labels, want.node_labels):
        machine["nodeLabels"] = labels
    if sysctls := comparison.pairs("sysctls", "sysctl", config.sysctls, want.sysctls):
        machine["sysctls"] = sysctls
    if entry := comparison.part(want.part):
        machine["files"] = [entry]
    comparison.refuse()
    additions = [*([{"machine": machine}] if machine else []), *documents]
    return Lacking(
        patches=tuple(yaml.dump(item, Dumper=_PatchDumper, sort_keys=False, width=120) for item in additions),
        items=tuple(comparison.items),
        warnings=tuple(comparison.warnings),
    )


def _in_documents(kind: str, old_field: str, config: BaseConfig, want: GpuMachineConfig) -> bool:
    """Whether an addition goes into a document: the release has it, and the base does not use the old field alone."""
    return kind in want.documents and (kind in config.kinds or old_field not in config.old_fields)


class _Comparison:
    """Gathers what the base lacks and where it clashes."""

    def __init__(self, base: BaseConfig) -> None:
        self.items: list[str] = []
        self.warnings: list[str] = []
        self._base = base
        self._conflicts: list[str] = []
        self._remedies: list[str] = []

    def kinds(self, known: frozenset[str]) -> None:
        """Refuse documents that only later releases have; the node would refuse the whole config."""
        for kind in sorted((self._base.kinds & NEW_KINDS) - known):
            self._conflict(
                f"the base has a document of kind {kind}, which this Talos release does not know",
                f"write what the {kind} says into the v1alpha1 document",
            )

    def modules(self, wanted_modules: Sequence[str]) -> list[str]:
        present = {name.replace("-", "_") for name in self._base.modules}
        missing = [name for name in wanted_modules if name not in present]
        self.items += [f"kernel module {name}" for name in missing]
        return missing

    def udev_documents(self) -> None:
        """Say where one kind of udev rules hides the other."""
        if "UdevRulesConfig" in self._base.kinds and "udev.rules" in self._base.old_fields:
            self.warnings.append("machine.udev.rules is without effect: the UdevRulesConfig takes its place")

    def udev_rules(self, rules: Sequence[str]) -> list[str]:
        missing = [rule for rule in rules if not same_rule(rule, self._base.udev_rules)]
        for rule in missing:
            self.items.append(f"udev rule {rule}")
            for theirs in self._base.udev_rules:
                if UdevRule.parse(theirs).contradicts(UdevRule.parse(rule)):
                    self._conflict(
                        f"udev rules: the base says {theirs.strip()}, the GPU needs {rule}",
                        "give the base's udev rule the values that the GPU needs, or take it out",
                    )
        return missing

    def pairs(self, key: str, what: str, have: Mapping[str, str], want: Mapping[str, str]) -> dict[str, str]:
        missing = {}
        for name, value in want.items():
            if name not in have:
                missing[name] = value
                self.items.append(f"{what} {name}={value}")
            elif have[name] != value:
                self._conflict(
                    f"machine.{key}.{name}: the base says {have[name]!r}, the GPU needs {value!r}",
                    f"set {name} to {value!r} in the base, or take it out",
                )
        return missing

    def part(self, want: str | None) -> dict[str, str] | None:
        """Return the entry of machine.files to be added or changed, None if there is none."""
        entries = [(path, content) for path, content in self._base.files if posixpath.normpath(path) == PART_PATH]
        if len(entries) > 1:
            self._conflict(
                f"machine.files: {PART_PATH} is there {len(entries)} times, and Talos does not boot with more than one",
                "make one entry of them in the base",
            )
        for path, _ in entries:
            if path != PART_PATH:
                self._conflict(
                    f"machine.files: {path} is no spelling of {PART_PATH} that Talos knows, and it makes no file there",
                    f"write {PART_PATH} in the base",
                )
        if want is None:
            if left := [clause for _, content in entries for clause in left_over(content)]:
                self.warnings.append(
                    f"{PART_PATH} of the base has what this method does not use: {'; '.join(left)}. It stays: take it "
                    "out of the base's machine.files"
                )
            return None
        if len(entries) > 1:
            return None
        if not entries:
            self.items.append(f"file {PART_PATH}")
            return {"content": want, "permissions": "0o600", "path": PART_PATH, "op": "create"}
        path, content = entries[0]
        merged = merge_part(want, content)
        for clash in merged.clashes:
            self._conflict(f"machine.files: {PART_PATH} of the base: {clash}", _PART_REMEDY)
        self.items += [f"file {PART_PATH}: {change}" for change in merged.changes]
        self.warnings += [f"{PART_PATH}: {warning}" for warning in merged.warnings]
        return {"path": path, "content": merged.text} if merged.changes else None

    def refuse(self) -> None:
        """Raise MachineConfigConflict if anything clashed."""
        if self._conflicts:
            raise MachineConfigConflict(self._conflicts, remedy="; ".join(dict.fromkeys(self._remedies)))

    def _conflict(self, sentence: str, remedy: str) -> None:
        self._conflicts.append(sentence)
        self._remedies.append(remedy)


_PART_REMEDY = (
    f"one node has one {PART_PATH}, and these keys one value: write the wanted value into the base's entry, "
    "or take the key out of it"
)


class _PatchDumper(yaml.SafeDumper):
    """Writes text of several lines as a block, as a person would."""


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


_PatchDumper.add_representer(str, _text)
