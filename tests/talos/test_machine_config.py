"""What a base machine config lacks, and what clashes with it."""

from __future__ import annotations

import pytest
import yaml

from talos_gpu.talos.machine_config import GpuMachineConfig, lacking, wanted
from talos_gpu.talos.part import part_differences, part_toml
from talos_gpu.talos.releases import Method, strategy_for
from talos_gpu.talos.render import render
from tests.talos.configs import BARE, R111, SEED, SPEC, merged, with_parts

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


def test_the_seeds_folders_are_put_in_the_order_that_works() -> None:
    found = lacking(SEED, SPEC)
    [item], [default, warning] = found.items, found.warnings
    assert item == (
        'file /etc/cri/conf.d/20-customization.part: plugins."io.containerd.cri.v1.runtime".cdi_spec_dirs is '
        '["/etc/cdi", "/var/run/cdi", "/var/cdi"], wanted ["/var/cdi", "/etc/cdi", "/var/run/cdi"]'
    )
    assert "default_runtime_name is 'nvidia-cdi'" in default
    assert warning == (
        "/etc/cri/conf.d/20-customization.part: cdi_spec_dirs has /var/cdi, where the unpatched spec lies: it stays, "
        "behind /etc/cdi and /var/run/cdi, but better leaves the base"
    )
    assert render(SEED, found.patches) == SEED.replace(
        '["/etc/cdi", "/var/run/cdi", "/var/cdi"]', '["/var/cdi", "/etc/cdi", "/var/run/cdi"]'
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


def test_udev_rules_that_differ_in_spaces_and_order_are_the_same() -> None:
    rules = ['KERNEL=="card*",SUBSYSTEM=="drm",  MODE = "0660",GROUP="44"', SPEC.udev_rules[0]]
    base = merged(BARE, yaml.safe_dump({"machine": {"udev": {"rules": rules}}}))
    assert not [item for item in lacking(base, SPEC).items if "udev" in item]


def test_a_module_is_the_same_with_a_dash() -> None:
    base = merged(BARE, "machine: {kernel: {modules: [{name: nvidia-uvm}]}}")
    assert "kernel module nvidia_uvm" not in lacking(base, SPEC).items


def test_the_newer_documents_count() -> None:
    documents = [f"apiVersion: v1alpha1\nkind: KernelModuleConfig\nname: {name}\n" for name in SPEC.modules]
    rules = yaml.safe_dump({"apiVersion": "v1alpha1", "kind": "UdevRulesConfig", "rules": list(SPEC.udev_rules)})
    base = "---\n".join([BARE, *documents, rules])
    assert lacking(base, wanted(strategy_for("v1.14.1"), Method.NATIVE)).items == (
        "node label node.kubernetes.io/gpu-vendor=nvidia",
    )


def test_on_1_14_additions_are_documents_unless_the_base_uses_the_old_fields() -> None:
    want = wanted(strategy_for("v1.14.1"), Method.NATIVE)
    assert lacking(BARE, want).patches == (
        "machine:\n  nodeLabels:\n    node.kubernetes.io/gpu-vendor: nvidia\n",
        *(f"apiVersion: v1alpha1\nkind: KernelModuleConfig\nname: {name}\n" for name in SPEC.modules),
        f"apiVersion: v1alpha1\nkind: UdevRulesConfig\nrules:\n- {SPEC.udev_rules[0]}\n- {SPEC.udev_rules[1]}\n",
    )
    old = merged(BARE, "machine: {kernel: {modules: [{name: nvidia}]}}")
    assert len(lacking(old, want).patches) == 2
    rendered = render(old, lacking(old, want).patches)
    assert lacking(rendered, want).items == ()
    assert rendered.count("kind: UdevRulesConfig") == 1


def test_a_udev_document_hides_the_old_rules() -> None:
    want = wanted(strategy_for("v1.14.1"), Method.NATIVE)
    old = merged(BARE, yaml.safe_dump({"machine": {"udev": {"rules": list(SPEC.udev_rules)}}}))
    both = old + "---\napiVersion: v1alpha1\nkind: UdevRulesConfig\nrules: [a]\n"
    found = lacking(both, want)
    assert [item for item in found.items if "udev" in item] == [f"udev rule {rule}" for rule in SPEC.udev_rules]
    assert found.warnings == ("machine.udev.rules is without effect: the UdevRulesConfig takes its place",)
    rendered = render(both, found.patches)
    assert lacking(rendered, want).items == ()
    assert rendered.count(f"{SPEC.udev_rules[0]}") == 2


def test_methods_want_different_parts() -> None:
    assert wanted(R111, Method.JIT).part is None
    assert wanted(R111, Method.JIT).sysctls == {}
    assert wanted(R111, Method.SYSCTL).sysctls == {"net.core.bpf_jit_harden": "1"}
    assert wanted(R111, Method.SYSCTL).part is None
    [patch] = lacking(BARE, wanted(R111, Method.SYSCTL)).patches
    assert yaml.safe_load(patch)["machine"]["sysctls"] == {"net.core.bpf_jit_harden": "1"}


def test_a_part_with_more_than_ours_is_enough() -> None:
    more = '[plugins."io.containerd.cri.v1.images"]\n  discard_unpacked_layers = false\n' + (SPEC.part or "")
    assert not [item for item in lacking(with_parts(more), SPEC).items if item.startswith("file")]


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


def test_what_is_wanted_is_a_value() -> None:
    assert wanted(R111, Method.SPEC) == wanted(R111, Method.SPEC)
    assert GpuMachineConfig(Method.JIT) == wanted(R111, Method.JIT)


@pytest.mark.parametrize(("talos", "method"), [("1.11", Method.JIT), ("1.11", Method.SYSCTL), ("1.13", Method.NATIVE)])
def test_the_seeds_part_is_told_where_the_method_needs_none(talos: str, method: Method) -> None:
    [warning] = lacking(merged(BARE, SEED), wanted(strategy_for(talos), method)).warnings
    assert warning == (
        "/etc/cri/conf.d/20-customization.part of the base has what this method does not use: the runtime nvidia-cdi; "
        "default_runtime_name 'nvidia-cdi' (every pod of the node goes through that runtime); /var/cdi in "
        "cdi_spec_dirs (the unpatched spec there is read too). It stays: take it out of the base's machine.files"
    )


@pytest.mark.parametrize(
    "part",
    [
        "[metrics]\n  address = '127.0.0.1:11234'\n",
        "[plugins.'io.containerd.cri.v1.runtime']\n  cdi_spec_dirs = ['/etc/cdi']\n",
        "plugins = 1\n",
        "no toml",
    ],
)
def test_a_part_without_our_runtime_is_no_warning_there(part: str) -> None:
    assert lacking(with_parts(part), wanted(R111, Method.JIT)).warnings == ()
