"""What a base machine config lacks, and what clashes with it."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from talos_gpu.talos.errors import MachineConfigConflict, MachineConfigInvalid
from talos_gpu.talos.machine_config import GpuMachineConfig, lacking, wanted
from talos_gpu.talos.part import PART_PATH, part_differences, part_toml
from talos_gpu.talos.releases import Method, strategy_for

R111 = strategy_for("v1.11.1")
SPEC = wanted(R111, Method.SPEC)

BARE = """\
version: v1alpha1
machine:
  type: worker
  token: abcdef.0123456789abcdef
cluster:
  controlPlane:
    endpoint: https://10.5.0.1:6443
"""

# The machine config of the write-up, step 1.
SEED = """\
machine:
  kernel:
    modules:
      - name: nvidia
      - name: nvidia_uvm
      - name: nvidia_drm
      - name: nvidia_modeset
  udev:
    rules:
      - SUBSYSTEM=="drm", KERNEL=="renderD*", GROUP="44", MODE="0660"
      - SUBSYSTEM=="drm", KERNEL=="card*", GROUP="44", MODE="0660"
      - KERNEL=="nvidia", MODE="0666"
      - KERNEL=="nvidia_uvm", MODE="0666"
      - KERNEL=="nvidia-uvm-tools", MODE="0666"
      - KERNEL=="nvidia-modeset", MODE="0666"
      - KERNEL=="nvidiactl", MODE="0666"
  nodeLabels:
    node.kubernetes.io/gpu-vendor: nvidia
  files:
    - content: |
        [plugins]
          [plugins."io.containerd.cri.v1.runtime"]
            cdi_spec_dirs = ["/etc/cdi", "/var/run/cdi", "/var/cdi"]
            [plugins."io.containerd.cri.v1.runtime".containerd]
              default_runtime_name = "nvidia-cdi"
            [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.nvidia-cdi]
              runtime_type = "io.containerd.runc.v2"
              [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.nvidia-cdi.options]
                BinaryName = "/usr/local/bin/nvidia-container-runtime.cdi"
      path: /etc/cri/conf.d/20-customization.part
      op: create
    - content: ""
      path: /var/cdi/.keep
      op: create
    - content: ""
      path: /var/run/cdi/.keep
      op: create
"""

PATCH = """\
machine:
  kernel:
    modules:
    - name: nvidia
    - name: nvidia_uvm
    - name: nvidia_drm
    - name: nvidia_modeset
  udev:
    rules:
    - SUBSYSTEM=="drm", KERNEL=="renderD*", GROUP="44", MODE="0660"
    - SUBSYSTEM=="drm", KERNEL=="card*", GROUP="44", MODE="0660"
  nodeLabels:
    node.kubernetes.io/gpu-vendor: nvidia
  files:
  - content: |
      [plugins."io.containerd.cri.v1.runtime"]
        cdi_spec_dirs = ["/etc/cdi", "/var/run/cdi"]
        [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.nvidia-cdi]
          runtime_type = "io.containerd.runc.v2"
          [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.nvidia-cdi.options]
            BinaryName = "/usr/local/bin/nvidia-container-runtime.cdi"
    permissions: 0o600
    path: /etc/cri/conf.d/20-customization.part
    op: create
"""


def merged(base: str, *patches: str) -> str:
    """The base after strategic merge, as Talos does it: mappings by key, lists appended."""

    def merge(into: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
        for key, value in other.items():
            if isinstance(value, dict):
                into[key] = merge(into.get(key) or {}, value)
            elif isinstance(value, list):
                into[key] = [*(into.get(key) or []), *value]
            else:
                into[key] = value
        return into

    document = yaml.safe_load(base)
    for patch in patches:
        merge(document, yaml.safe_load(patch))
    text: str = yaml.safe_dump(document)
    return text


def test_a_bare_worker_lacks_everything() -> None:
    found = lacking(BARE, SPEC)
    assert found.patches == (PATCH,)
    assert found.items == (
        "kernel module nvidia",
        "kernel module nvidia_uvm",
        "kernel module nvidia_drm",
        "kernel module nvidia_modeset",
        'udev rule SUBSYSTEM=="drm", KERNEL=="renderD*", GROUP="44", MODE="0660"',
        'udev rule SUBSYSTEM=="drm", KERNEL=="card*", GROUP="44", MODE="0660"',
        "node label node.kubernetes.io/gpu-vendor=nvidia",
        "file /etc/cri/conf.d/20-customization.part",
    )


@pytest.mark.parametrize("default_runtime", [False, True])
@pytest.mark.parametrize("method", [Method.SPEC, Method.JIT, Method.SYSCTL])
def test_what_was_applied_lacks_nothing(method: Method, default_runtime: bool) -> None:
    want = wanted(R111, method, default_runtime=default_runtime)
    once = merged(BARE, *lacking(BARE, want).patches)
    assert lacking(once, want).patches == ()
    assert lacking(once, want).items == ()


def test_the_seeds_config_clashes_in_the_folders_alone() -> None:
    with pytest.raises(MachineConfigConflict) as caught:
        lacking(SEED, SPEC)
    assert str(caught.value) == (
        "the base machine config conflicts with what the GPU needs:\n"
        "  - machine.files: /etc/cri/conf.d/20-customization.part of the base: "
        'plugins."io.containerd.cri.v1.runtime".cdi_spec_dirs is ["/etc/cdi", "/var/run/cdi", "/var/cdi"], '
        'wanted ["/etc/cdi", "/var/run/cdi"]\n'
        "  remedy: Talos takes one entry for /etc/cri/conf.d/20-customization.part: write the wanted values into the "
        "base's entry, or take it out of the base"
    )


def test_the_seeds_config_with_the_folders_mended_lacks_nothing() -> None:
    mended = SEED.replace(', "/var/cdi"]', "]")
    assert lacking(mended, SPEC).items == ()
    assert lacking(mended, wanted(R111, Method.SPEC, default_runtime=True)).items == ()


def test_only_what_is_lacking_is_patched() -> None:
    base = merged(BARE, "machine: {kernel: {modules: [{name: nvidia, parameters: [NVreg_X=1]}, {name: nvidia_drm}]}}")
    [patch] = lacking(base, wanted(R111, Method.JIT)).patches
    assert yaml.safe_load(patch)["machine"]["kernel"] == {
        "modules": [{"name": "nvidia_uvm"}, {"name": "nvidia_modeset"}]
    }


def test_udev_rules_that_differ_in_spaces_are_the_same() -> None:
    rules = ['SUBSYSTEM=="drm",KERNEL=="card*",  GROUP="44",MODE="0660"', SPEC.udev_rules[0]]
    base = merged(BARE, yaml.safe_dump({"machine": {"udev": {"rules": rules}}}))
    assert not [item for item in lacking(base, SPEC).items if "udev" in item]


def test_the_newer_documents_count() -> None:
    documents = [f"apiVersion: v1alpha1\nkind: KernelModuleConfig\nname: {name}\n" for name in SPEC.modules]
    rules = yaml.safe_dump({"apiVersion": "v1alpha1", "kind": "UdevRulesConfig", "rules": list(SPEC.udev_rules)})
    base = "---\n".join([BARE, *documents, rules])
    assert lacking(base, wanted(strategy_for("v1.14.1"), Method.NATIVE)).items == (
        "node label node.kubernetes.io/gpu-vendor=nvidia",
    )


def test_methods_want_different_parts() -> None:
    assert wanted(R111, Method.JIT).part is None
    assert wanted(R111, Method.JIT).sysctls == {}
    assert wanted(R111, Method.SYSCTL).sysctls == {"net.core.bpf_jit_harden": "1"}
    assert wanted(R111, Method.SYSCTL).part is None
    [patch] = lacking(BARE, wanted(R111, Method.SYSCTL)).patches
    assert yaml.safe_load(patch)["machine"]["sysctls"] == {"net.core.bpf_jit_harden": "1"}


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


def with_parts(*contents: str, path: str = PART_PATH) -> str:
    return merged(BARE, yaml.safe_dump({"machine": {"files": [{"path": path, "content": text} for text in contents]}}))


def test_the_part_twice_is_refused_even_if_both_are_right() -> None:
    text = SPEC.part or ""
    with pytest.raises(MachineConfigConflict, match="is there 2 times, and Talos does not boot with more than one"):
        lacking(with_parts(text, text), SPEC)


def test_a_part_under_another_spelling_of_its_path_is_seen() -> None:
    assert not lacking(with_parts(SPEC.part or "", path="/etc/cri//conf.d/20-customization.part"), SPEC).items[8:]
    assert not [item for item in lacking(with_parts(SPEC.part or ""), SPEC).items if item.startswith("file")]


def test_a_part_with_more_than_ours_is_enough() -> None:
    more = '[plugins."io.containerd.cri.v1.images"]\n  discard_unpacked_layers = false\n' + (SPEC.part or "")
    assert not [item for item in lacking(with_parts(more), SPEC).items if item.startswith("file")]


@pytest.mark.parametrize(
    ("part", "clause"),
    [
        (
            '[plugins."io.containerd.cri.v1.images"]\ndiscard_unpacked_layers = false\n',
            'plugins."io.containerd.cri.v1.runtime".cdi_spec_dirs is not set, wanted ["/etc/cdi", "/var/run/cdi"]',
        ),
        ("[plugins\n", "it is no TOML: Expected ']' at the end of a table declaration (at line 1, column 9)"),
        (
            '[plugins."io.containerd.cri.v1.runtime"]\ncdi_spec_dirs = ["/var/run/cdi", "/etc/cdi"]\n',
            (
                'plugins."io.containerd.cri.v1.runtime".cdi_spec_dirs is ["/var/run/cdi", "/etc/cdi"], '
                'wanted ["/etc/cdi", "/var/run/cdi"]'
            ),
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


def test_the_default_runtime_is_an_explicit_choice() -> None:
    assert "default_runtime_name" not in part_toml(R111, default_runtime=False)
    theirs, ours = part_toml(R111, default_runtime=False), part_toml(R111, default_runtime=True)
    assert part_differences(ours, theirs) == [
        'plugins."io.containerd.cri.v1.runtime".containerd.default_runtime_name is not set, wanted "nvidia-cdi"'
    ]
    assert part_differences(theirs, ours) == []


def test_containerd_1_gets_its_own_section_and_cdi_switched_on() -> None:
    text = part_toml(strategy_for("v1.7.6"), default_runtime=False)
    assert text.startswith('[plugins."io.containerd.grpc.v1.cri"]\n  enable_cdi = true\n')


@pytest.mark.parametrize(
    ("base", "faults"),
    [
        ("", ("needs exactly one v1alpha1 document (one without `kind`), has 0",)),
        (BARE + "---\n" + BARE, ("needs exactly one v1alpha1 document (one without `kind`), has 2",)),
        ("cluster: {}\n", ("machine: missing",)),
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


def test_what_is_wanted_is_a_value() -> None:
    assert wanted(R111, Method.SPEC) == wanted(R111, Method.SPEC)
    assert GpuMachineConfig(Method.JIT) == wanted(R111, Method.JIT)
