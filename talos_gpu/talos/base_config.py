"""A machine config as the user has it: one YAML document or several, v1alpha1 and the newer kinds beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from talos_gpu.talos.errors import MachineConfigInvalid


@dataclass(frozen=True, slots=True)
class BaseConfig:
    """What of a machine config matters for the GPU. Values are as Talos would read them, labels and sysctls as text."""

    modules: tuple[str, ...]
    udev_rules: tuple[str, ...]
    node_labels: Mapping[str, str]
    sysctls: Mapping[str, str]
    files: tuple[tuple[str, str], ...]
    """(path, content), in order."""

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
        for document in self._documents:
            match document.get("kind"):
                case "KernelModuleConfig":
                    modules.append(str(document.get("name")))
                case "UdevRulesConfig":
                    rules += self._list(document, "rules", "UdevRulesConfig.")
                case _:
                    pass
        return BaseConfig(
            modules=tuple(modules),
            udev_rules=tuple(str(rule) for rule in rules),
            node_labels=_texts(self._mapping(machine, "nodeLabels")),
            sysctls=_texts(self._mapping(machine, "sysctls")),
            files=tuple(files),
        )

    def _load(self, text: str) -> list[dict[str, Any]]:
        try:
            documents = [document for document in yaml.safe_load_all(text) if document is not None]
        except yaml.MarkedYAMLError as error:
            where = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
            self.faults.append(f"{where}not YAML ({error.context or 'syntax'})")
            return []
        except yaml.YAMLError:
            self.faults.append("not YAML: it has characters that YAML does not allow")
            return []
        if not all(isinstance(document, dict) for document in documents):
            self.faults.append("a document of it is no mapping")
            return []
        return documents

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


def _texts(mapping: Mapping[str, Any]) -> dict[str, str]:
    return {str(key): str(value) for key, value in mapping.items()}
