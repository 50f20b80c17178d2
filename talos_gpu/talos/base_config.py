"""A machine config as the user has it: one YAML document or several, v1alpha1 and the newer kinds beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from talos_gpu.talos.errors import MachineConfigInvalid
from talos_gpu.talos.yaml_nodes import documents, duplicates, texts, written_out


@dataclass(frozen=True, slots=True)
class BaseConfig:
    """What of a machine config matters for the GPU. Values are as Talos would read them, all scalars as text."""

    modules: tuple[str, ...]
    """Of v1alpha1 and of the newer documents."""
    udev_rules: tuple[str, ...]
    """Those that count: of a UdevRulesConfig if there is one, and then v1alpha1's do not (1.14, container.go)."""
    node_labels: Mapping[str, str]
    sysctls: Mapping[str, str]
    files: tuple[tuple[str, str], ...]
    """(path, content), in order."""
    kinds: frozenset[str] = frozenset()
    """Kinds of the documents beside v1alpha1."""
    old_fields: frozenset[str] = frozenset()
    """Which of `kernel.modules` and `udev.rules` the v1alpha1 document has itself."""

    @classmethod
    def parse(cls, text: str) -> BaseConfig:
        """Read `text`; raise MachineConfigInvalid with every fault, none quoting the file (it holds secrets)."""
        reader = _Reader(text)
        config = reader.read()
        if reader.faults:
            raise MachineConfigInvalid(reader.faults)
        return config


class _Reader:
    def __init__(self, text: str) -> None:
        self.faults: list[str] = []
        self._documents = self._load(text)

    def read(self) -> BaseConfig:
        plain = [document for document in self._documents if "kind" not in document]
        if not self.faults and len(plain) != 1:
            self.faults.append(f"needs exactly one v1alpha1 document (one without `kind`), has {len(plain)}")
        machine = self._mapping(plain[0], "machine", "") if plain else {}
        if plain and not self.faults and not machine:
            self.faults.append("machine: missing")
        kernel, udev = self._mapping(machine, "kernel"), self._mapping(machine, "udev")
        modules = [self._named(entry, i) for i, entry in enumerate(self._list(kernel, "modules", "machine.kernel."))]
        rules = self._list(udev, "rules", "machine.udev.")
        files = [self._file(entry, i) for i, entry in enumerate(self._list(machine, "files"))]
        old_fields = frozenset(
            field for field, entries in (("kernel.modules", modules), ("udev.rules", rules)) if entries
        )
        modules += [str(document.get("name")) for document in self._of_kind("KernelModuleConfig")]
        for document in self._of_kind("UdevRulesConfig"):
            rules = self._list(document, "rules", "UdevRulesConfig.")
        return BaseConfig(
            modules=tuple(modules),
            udev_rules=tuple(str(rule) for rule in rules),
            node_labels=_texts(self._mapping(machine, "nodeLabels")),
            sysctls=_texts(self._mapping(machine, "sysctls")),
            files=tuple(files),
            kinds=frozenset(str(document["kind"]) for document in self._documents if "kind" in document),
            old_fields=old_fields,
        )

    def _of_kind(self, kind: str) -> list[dict[str, Any]]:
        return [document for document in self._documents if document.get("kind") == kind]

    def _load(self, text: str) -> list[dict[str, Any]]:
        try:
            found = documents(text)
            self.faults += [
                f"line {line}: {key} is there twice in one mapping"
                for document in found
                for line, key in duplicates(document.root)
            ]
            return [_dict(written_out(document.root)) for document in found]
        except MachineConfigInvalid as invalid:
            self.faults += invalid.faults
            return []

    def _mapping(self, parent: Mapping[str, Any], key: str, prefix: str = "machine.") -> dict[str, Any]:
        value = parent.get(key)
        if value is None:
            return {}
        if not isinstance(value, dict):
            self.faults.append(f"{prefix}{key}: not a mapping")
            return {}
        return value

    def _list(self, parent: Mapping[str, Any], key: str, prefix: str = "machine.") -> list[Any]:
        value = parent.get(key)
        if value is None:
            return []
        if not isinstance(value, list):
            self.faults.append(f"{prefix}{key}: not a list")
            return []
        return list(value)

    def _named(self, entry: object, index: int) -> str:
        if isinstance(entry, dict) and isinstance(entry.get("name"), str):
            return str(entry["name"])
        self.faults.append(f"machine.kernel.modules[{index}]: has no name")
        return ""

    def _file(self, entry: object, index: int) -> tuple[str, str]:
        if isinstance(entry, dict) and isinstance(entry.get("path"), str):
            return entry["path"], str(entry.get("content") or "")
        self.faults.append(f"machine.files[{index}]: has no path")
        return "", ""


def _dict(root: yaml.Node) -> dict[str, Any]:
    value = texts(root)
    return value if isinstance(value, dict) else {}


def _texts(mapping: Mapping[str, Any]) -> dict[str, str]:
    return {str(key): "" if value is None else str(value) for key, value in mapping.items()}
