"""Base machine configs that are refused: every clash with both sides, every fault, no secret quoted."""

from __future__ import annotations

import json
import tomllib

import pytest
import yaml

from talos_gpu.talos.errors import MachineConfigConflict, MachineConfigInvalid
from talos_gpu.talos.machine_config import lacking, wanted
from talos_gpu.talos.part import PART_PATH
from talos_gpu.talos.releases import Method
from tests.talos.configs import BARE, R111, SPEC, merged, with_parts


def test_a_udev_rule_with_another_value_for_the_same_devices_clashes() -> None:
    rule = 'SUBSYSTEM=="drm", KERNEL=="card*", GROUP="27", MODE="0660"'
    base = merged(BARE, yaml.safe_dump({"machine": {"udev": {"rules": [rule]}}}))
    with pytest.raises(MachineConfigConflict) as caught:
        lacking(base, SPEC)
    assert caught.value.conflicts == (f"udev rules: the base says {rule}, the GPU needs {SPEC.udev_rules[1]}",)


def test_values_are_read_as_talos_reads_them() -> None:
    base = BARE.replace("  type: worker\n", "  type: worker\n  nodeLabels: {node.kubernetes.io/gpu-vendor: yes}\n")
    with pytest.raises(MachineConfigConflict, match="the base says 'yes'"):
        lacking(base, SPEC)


def test_a_document_of_a_later_release_is_refused() -> None:
    with pytest.raises(MachineConfigConflict, match="kind UdevRulesConfig, which this Talos release does not know"):
        lacking(BARE + "---\napiVersion: v1alpha1\nkind: UdevRulesConfig\nrules: []\n", SPEC)


def test_every_clash_is_named_with_both_sides() -> None:
    base = merged(
        BARE,
        yaml.safe_dump(
            {
                "machine": {
                    "nodeLabels": {"node.kubernetes.io/gpu-vendor": "amd"},
                    "sysctls": {"net.core.bpf_jit_harden": 2},
                }
            }
        ),
    )
    with pytest.raises(MachineConfigConflict) as caught:
        lacking(base, wanted(R111, Method.SYSCTL))
    assert str(caught.value) == (
        "the base machine config conflicts with what the GPU needs:\n"
        "  - machine.nodeLabels.node.kubernetes.io/gpu-vendor: the base says 'amd', the GPU needs 'nvidia'\n"
        "  - machine.sysctls.net.core.bpf_jit_harden: the base says '2', the GPU needs '1'\n"
        "  remedy: set node.kubernetes.io/gpu-vendor to 'nvidia' in the base, or take it out; "
        "set net.core.bpf_jit_harden to '1' in the base, or take it out"
    )


def test_the_part_twice_is_refused_even_if_both_are_right() -> None:
    text = SPEC.part or ""
    with pytest.raises(MachineConfigConflict, match="is there 2 times, and Talos does not boot with more than one"):
        lacking(with_parts(text, text), SPEC)


def test_a_part_under_another_spelling_of_its_path_is_refused() -> None:
    with pytest.raises(MachineConfigConflict) as caught:
        lacking(with_parts(SPEC.part or "", path="/etc/cri//conf.d/20-customization.part"), SPEC)
    [conflict] = caught.value.conflicts
    assert conflict == (
        "machine.files: /etc/cri//conf.d/20-customization.part is no spelling of "
        "/etc/cri/conf.d/20-customization.part that Talos knows, and it makes no file there"
    )


def test_a_base_that_does_not_boot_is_refused_by_every_method() -> None:
    with pytest.raises(MachineConfigConflict, match="is there 2 times"):
        lacking(with_parts("", ""), wanted(R111, Method.JIT))


@pytest.mark.parametrize(
    ("part", "clause"),
    [
        ("[plugins\n", "it is no TOML: Expected ']' at the end of a table declaration (at line 1, column 9)"),
        (
            '[plugins."io.containerd.cri.v1.runtime"]\nenable_cdi = false\n',
            'plugins."io.containerd.cri.v1.runtime".enable_cdi is false, wanted true',
        ),
        ("version = 2\n", "version is 2, wanted 3"),
        ("plugins = 1\n", "plugins is 1, wanted " + json.dumps(tomllib.loads(SPEC.part or "")["plugins"])),
        (
            '[plugins."io.containerd.cri.v1.runtime"]\ncdi_spec_dirs = "/etc/cdi"\n',
            'plugins."io.containerd.cri.v1.runtime".cdi_spec_dirs is "/etc/cdi", wanted ["/etc/cdi", "/var/run/cdi"]',
        ),
        (
            (SPEC.part or "").replace("runtime.cdi", "runtime"),
            (
                'plugins."io.containerd.cri.v1.runtime".containerd.runtimes.nvidia-cdi.options.BinaryName is '
                '"/usr/local/bin/nvidia-container-runtime", wanted "/usr/local/bin/nvidia-container-runtime.cdi"'
            ),
        ),
    ],
)
def test_a_part_that_clashes_is_refused(part: str, clause: str) -> None:
    with pytest.raises(MachineConfigConflict) as caught:
        lacking(with_parts(part), SPEC)
    assert caught.value.conflicts[0] == f"machine.files: {PART_PATH} of the base: {clause}"


@pytest.mark.parametrize(
    ("base", "faults"),
    [
        ("", ("needs exactly one v1alpha1 document (one without `kind`), has 0",)),
        (BARE + "---\n" + BARE, ("needs exactly one v1alpha1 document (one without `kind`), has 2",)),
        ("cluster: {}\n", ("machine: missing",)),
        ("machine: {type: worker, type: secret}\n", ("line 1: type is there twice in one mapping",)),
        ("a: &a [*a]\nmachine: {}\n", ("an alias stands for what it is part of",)),
        ("machine: [secret\n", ("line 2: not YAML (while parsing a flow sequence)",)),
        (
            "machine: {kernel: [], udev: {rules: 1}, files: [{op: create}, 3], nodeLabels: 4}\n",
            (
                "machine.kernel: not a mapping",
                "machine.udev.rules: not a list",
                "machine.files[0]: has no path",
                "machine.files[1]: has no path",
                "machine.nodeLabels: not a mapping",
            ),
        ),
    ],
)
def test_a_base_that_cannot_be_read_tells_every_fault_and_quotes_nothing(base: str, faults: tuple[str, ...]) -> None:
    with pytest.raises(MachineConfigInvalid) as caught:
        lacking(base, SPEC)
    assert sorted(caught.value.faults) == sorted(faults)
    assert "secret" not in str(caught.value)
