"""What this project believes of Talos's config handling, asked of Talos's machinery itself."""

from __future__ import annotations

import pytest

from talos_gpu.talos.base_config import BaseConfig
from talos_gpu.talos.errors import MachineConfigInvalid
from talos_gpu.talos.part import PART_PATH
from tests.talos.oracle_client import TalosOracle

DOCUMENT = "---\napiVersion: v1alpha1\nkind: KmsgLogConfig\nname: remote\nurl: tcp://192.0.2.3:3478/\n"


def with_machine(oracle: TalosOracle, keys: str) -> str:
    return oracle.generated("1.11", "worker").replace("\nmachine:\n", f"\nmachine:\n    {keys}\n", 1)


@pytest.mark.parametrize("value", ["yes", "012", "0x10", "1_000", "~", "1.50", "2001-01-01", "!!str 1", "on"])
def test_a_text_is_read_as_it_is_spelled(oracle: TalosOracle, value: str) -> None:
    config = with_machine(oracle, f"nodeLabels: {{a: {value}}}")
    assert BaseConfig.parse(config).node_labels == oracle.inspected(config)["labels"]


def test_aliases_and_merge_keys_are_understood(oracle: TalosOracle) -> None:
    config = with_machine(oracle, "sysfs: &s {a.b: '1'}\n    sysctls:\n        <<: *s\n        c.d: '2'")
    assert BaseConfig.parse(config).sysctls == oracle.inspected(config)["sysctls"] == {"a.b": "1", "c.d": "2"}


def test_a_key_twice_is_refused(oracle: TalosOracle) -> None:
    config = with_machine(oracle, "sysctls: {a.b: '1'}\n    sysctls: {a.b: '1'}")
    assert oracle.ask("inspect", config=config)["error"].startswith("load: ")
    with pytest.raises(MachineConfigInvalid, match="sysctls is there twice"):
        BaseConfig.parse(config)


def test_the_part_twice_passes_talos_validation_and_so_must_be_refused_here(oracle: TalosOracle) -> None:
    entry = f"{{path: {PART_PATH}, content: a}}"
    assert oracle.inspected(with_machine(oracle, f"files: [{entry}, {entry}]"))["error"] == ""


def test_a_json_patch_is_no_means_for_several_documents(oracle: TalosOracle) -> None:
    patch = '[{"op": "add", "path": "/machine/udev", "value": {"rules": ["a"]}}]'
    said = oracle.ask("patch", config=oracle.generated("1.11", "worker") + DOCUMENT, patches=[patch])
    assert "not supported for multi-document" in said["error"]


def test_a_strategic_merge_adds_a_second_entry_for_the_part(oracle: TalosOracle) -> None:
    base = with_machine(oracle, f"files: [{{path: {PART_PATH}, content: a}}]")
    patch = f"machine: {{files: [{{path: {PART_PATH}, content: b}}]}}"
    patched = oracle.ask("patch", config=base, patches=[patch])["config"]
    assert [entry["content"] for entry in oracle.inspected(patched)["files"]] == ["a", "b"]


@pytest.mark.parametrize("kind", ["KernelModuleConfig", "UdevRulesConfig", "CRICustomizationConfig"])
def test_the_documents_of_1_14_are_unknown_before(oracle: TalosOracle, kind: str) -> None:
    config = oracle.generated("1.11", "worker") + f"---\napiVersion: v1alpha1\nkind: {kind}\nname: x\n"
    assert "not registered" in oracle.ask("inspect", config=config)["error"]
