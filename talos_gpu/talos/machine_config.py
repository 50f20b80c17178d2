"""What a node's machine config must hold for the GPU, and which of it a base config lacks.

Decided from the seed's config and from what was read in siderolabs/talos v1.11.1:
- modules: the extension's modprobe conf blacklists them, so `machine.kernel.modules` must name them.
- udev: only the two `drm` rules act. The seed's others match no node name (`nvidia`, `nvidia_uvm`) or nodes that
  nvidia-modprobe makes without udev, so they are not asked for; a base that has them keeps them.
- files: the entry for the containerd part alone. Talos gives that file mode 0600 whatever the entry says, but omitted
  permissions mean 0000 elsewhere, so they are said. The seed's two `.keep` files do harm or nothing.
- strategic merge appends lists, so a patch holds only what the base lacks, and is made from the stored base, never from
  the node's live config.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from talos_gpu.talos.base_config import BaseConfig
from talos_gpu.talos.errors import MachineConfigConflict
from talos_gpu.talos.part import PART_PATH, part_differences, part_toml
from talos_gpu.talos.releases import Method, ReleaseFacts

MODULES = ("nvidia", "nvidia_uvm", "nvidia_drm", "nvidia_modeset")
UDEV_RULES = (
    'SUBSYSTEM=="drm", KERNEL=="renderD*", GROUP="44", MODE="0660"',
    'SUBSYSTEM=="drm", KERNEL=="card*", GROUP="44", MODE="0660"',
)
LABEL = ("node.kubernetes.io/gpu-vendor", "nvidia")
BPF_JIT_HARDEN = "net.core.bpf_jit_harden"


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


@dataclass(frozen=True, slots=True)
class Lacking:
    """What a base config lacks."""

    patches: tuple[str, ...]
    """Strategic merge patches (YAML), to be applied to the base in order; empty if nothing is lacking."""
    items: tuple[str, ...]
    """The same in words, one thing an item."""


def wanted(release: ReleaseFacts, method: Method, *, default_runtime: bool = False) -> GpuMachineConfig:
    """Return what `method` needs on `release`; raise MethodUnfit where it does not work there.

    `default_runtime` makes the NVIDIA runtime the one of every pod (method spec only).
    """
    release.require(method)
    match method:
        case Method.SPEC:
            return GpuMachineConfig(method, part=part_toml(release, default_runtime=default_runtime))
        case Method.SYSCTL:
            return GpuMachineConfig(method, sysctls={BPF_JIT_HARDEN: "1"})
        case Method.JIT | Method.NATIVE:
            return GpuMachineConfig(method)


def lacking(base: str, want: GpuMachineConfig) -> Lacking:
    """Compare `base` (YAML, one document or several) with `want`.

    Raises MachineConfigInvalid if the base cannot be read, MachineConfigConflict with every clash.
    """
    config = BaseConfig.parse(base)
    comparison = _Comparison(config)
    machine: dict[str, Any] = {}
    if modules := comparison.modules(want.modules):
        machine["kernel"] = {"modules": [{"name": name} for name in modules]}
    if rules := comparison.udev_rules(want.udev_rules):
        machine["udev"] = {"rules": rules}
    if labels := comparison.pairs("nodeLabels", "node label", config.node_labels, want.node_labels):
        machine["nodeLabels"] = labels
    if sysctls := comparison.pairs("sysctls", "sysctl", config.sysctls, want.sysctls):
        machine["sysctls"] = sysctls
    if want.part is not None and comparison.part(want.part):
        machine["files"] = [{"content": want.part, "permissions": "0o600", "path": PART_PATH, "op": "create"}]
    comparison.refuse()
    patches = (yaml.dump({"machine": machine}, Dumper=_PatchDumper, sort_keys=False, width=120),) if machine else ()
    return Lacking(patches=patches, items=tuple(comparison.items))


class _Comparison:
    """Gathers what the base lacks and where it clashes."""

    def __init__(self, base: BaseConfig) -> None:
        self.items: list[str] = []
        self._base = base
        self._conflicts: list[str] = []
        self._remedies: list[str] = []

    def modules(self, wanted_modules: Sequence[str]) -> list[str]:
        missing = [name for name in wanted_modules if name not in self._base.modules]
        self.items += [f"kernel module {name}" for name in missing]
        return missing

    def udev_rules(self, rules: Sequence[str]) -> list[str]:
        present = {udev_key(rule) for rule in self._base.udev_rules}
        missing = [rule for rule in rules if udev_key(rule) not in present]
        self.items += [f"udev rule {rule}" for rule in missing]
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

    def part(self, want: str) -> bool:
        """Whether the part is to be added."""
        entries = [content for path, content in self._base.files if posixpath.normpath(path) == PART_PATH]
        if not entries:
            self.items.append(f"file {PART_PATH}")
            return True
        if len(entries) > 1:
            self._conflict(
                f"machine.files: {PART_PATH} is there {len(entries)} times, and Talos does not boot with more than one",
                "make one entry of them in the base",
            )
            return False
        if differences := part_differences(want, entries[0]):
            for difference in differences:
                self._conflict(f"machine.files: {PART_PATH} of the base: {difference}", _PART_REMEDY)
        return False

    def refuse(self) -> None:
        """Raise MachineConfigConflict if anything clashed."""
        if self._conflicts:
            raise MachineConfigConflict(self._conflicts, remedy="; ".join(dict.fromkeys(self._remedies)))

    def _conflict(self, sentence: str, remedy: str) -> None:
        self._conflicts.append(sentence)
        self._remedies.append(remedy)


_PART_REMEDY = (
    f"Talos takes one entry for {PART_PATH}: write the wanted values into the base's entry, or take it out of the base"
)


def udev_key(rule: str) -> str:
    """Return the rule with its spaces in one form, so that two spellings of one rule compare equal."""
    return ",".join(re.sub(r"\s+", " ", item).strip() for item in rule.strip().split(","))


class _PatchDumper(yaml.SafeDumper):
    """Writes text of several lines as a block, as a person would."""


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


_PatchDumper.add_representer(str, _text)
