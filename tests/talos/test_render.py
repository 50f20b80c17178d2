"""The rendered machine config: what is added, and that nothing else moves."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from talos_gpu.talos.base_config import BaseConfig
from talos_gpu.talos.errors import MachineConfigInvalid
from talos_gpu.talos.machine_config import lacking, wanted
from talos_gpu.talos.part import PART_PATH
from talos_gpu.talos.releases import Method, strategy_for
from talos_gpu.talos.render import render
from talos_gpu.talos.udev import same_rule
from tests.talos.bases import Recipe, recipes

SPEC = wanted(strategy_for("v1.11.1"), Method.SPEC)

# As `talosctl gen config` writes it: four columns, comments between the keys.
GENERATED = """\
version: v1alpha1 # Indicates the schema used to decode the contents.
# Provides machine specific configuration options.
machine:
    type: worker # Defines the role of the machine within the cluster.
    token: abcdef.0123456789abcdef
    # Used to provide additional options to the kubelet.
    kubelet:
        image: kubelet:v1.34.0 # The image.

        # # the last comment of the kubelet
    kernel:
        modules:
            - name: btrfs # theirs
              parameters: [a=1]
    # sysctls:
    #     kernel.domainname: talos.dev
    files:
        - content: |
            # Spegel needs it
            [plugins."io.containerd.cri.v1.images"]
              discard_unpacked_layers = false
          permissions: 0o600
          path: /etc/cri/conf.d/20-customization.part
          op: create
        - {path: /var/x, content: yes, op: create, permissions: 0o644} # another's
# Provides cluster specific configuration options.
cluster:
    id: "012=" # Globally unique.
---
apiVersion: v1alpha1
kind: WatchdogTimerConfig   # untouched
device: /dev/watchdog0
"""

RENDERED = """\
version: v1alpha1 # Indicates the schema used to decode the contents.
# Provides machine specific configuration options.
machine:
    type: worker # Defines the role of the machine within the cluster.
    token: abcdef.0123456789abcdef
    # Used to provide additional options to the kubelet.
    kubelet:
        image: kubelet:v1.34.0 # The image.

        # # the last comment of the kubelet
    kernel:
        modules:
            - name: btrfs # theirs
              parameters: [a=1]
            - name: nvidia
            - name: nvidia_uvm
            - name: nvidia_drm
            - name: nvidia_modeset
    # sysctls:
    #     kernel.domainname: talos.dev
    files:
        - content: |
            # Spegel needs it
            [plugins."io.containerd.cri.v1.images"]
              discard_unpacked_layers = false

            [plugins."io.containerd.cri.v1.runtime"]
            cdi_spec_dirs = ["/etc/cdi", "/var/run/cdi"]

            [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.nvidia-cdi]
            runtime_type = "io.containerd.runc.v2"

            [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.nvidia-cdi.options]
            BinaryName = "/usr/local/bin/nvidia-container-runtime.cdi"
          permissions: 0o600
          path: /etc/cri/conf.d/20-customization.part
          op: create
        - {path: /var/x, content: yes, op: create, permissions: 0o644} # another's
    udev:
        rules:
            - SUBSYSTEM=="drm", KERNEL=="renderD*", GROUP="44", MODE="0660"
            - SUBSYSTEM=="drm", KERNEL=="card*", GROUP="44", MODE="0660"
    nodeLabels:
        node.kubernetes.io/gpu-vendor: nvidia
# Provides cluster specific configuration options.
cluster:
    id: "012=" # Globally unique.
---
apiVersion: v1alpha1
kind: WatchdogTimerConfig   # untouched
device: /dev/watchdog0
"""


def rendered(base: str) -> str:
    return render(base, lacking(base, SPEC).patches)


def test_additions_stand_among_their_like_and_nothing_else_moves() -> None:
    assert rendered(GENERATED) == RENDERED


def test_rendering_twice_changes_nothing() -> None:
    assert rendered(RENDERED) == RENDERED
    assert lacking(RENDERED, SPEC).patches == ()


EMPTY_FORMS = {
    "null": "machine:\n  kernel:\n  udev: # rules to come\n  files: ~\n",
    "empty": "machine:\n  kernel: {} # c\n  udev: {rules: []}\n  files: []\n",
    "flow": 'machine: {kernel: {modules: [{name: btrfs}]}, udev: {rules: []}, files: [], nodeLabels: {"a": b}}\n',
    "json": '{"machine": {"kernel": {"modules": [{"name": "btrfs"},]}, "files": null}, "version": "v1alpha1"}',
    "no end": "machine:\n  type: worker",
    "block end": "machine:\n  files:\n  - path: /var/x\n    content: |\n      last",
    "comment at the end": "machine:\n\n  nodeLabels:\n    a: b  # c\n",
    "crlf": "machine:\r\n  type: worker\r\n  kernel:\r\n    modules:\r\n    - name: btrfs\r\n",
    "end mark": "---\nmachine:\n  type: worker\n...\n",
    "explicit key": "? machine\n: ? kernel\n  : modules:\n    - name: btrfs\n",
    "anchors": "x: &m\n  modules: [{name: btrfs}]\nmachine: &machine\n  kernel: *m\n  udev: &u\n    rules: &r [a]\n",
    "merge keys": "x: &m {nodeLabels: {a: b}}\nmachine:\n  <<: *m\n  type: worker\n",
    "quoted part": f"machine:\n  files:\n  - path: {PART_PATH}\n    content: \"[metrics]\\naddress='a'\\n\" # c\n",
    "single-quoted part": f"machine:\n  files:\n  - content: '[metrics]'\n    path: {PART_PATH}\n",
    "flow part": f'machine:\n  files: [{{path: {PART_PATH}, content: "[metrics]\\n"}}]\n',
    "empty part": f"machine:\n  files:\n  - path: {PART_PATH}\n",
    "null part": f"machine:\n  files:\n  - path: {PART_PATH}\n    content:\n    op: create\n",
    "folded part": f"machine:\n  files:\n  - path: {PART_PATH}\n    content: >\n      a = 1\n\n      b = 2\n  x: a\n",
    "stripped part": f"machine:\n  files:\n  - path: {PART_PATH}\n    content: |-\n      a = 1\n\n  # c\n  type: a\n",
    "kept part": f"machine:\n  files:\n  - path: {PART_PATH}\n    content: |+\n      a = 1\n\n\n  type: worker\n",
    "byte order mark": "\ufeffmachine:\n  type: worker\n",
}


@pytest.mark.parametrize("form", EMPTY_FORMS)
def test_every_form_of_a_base_takes_the_additions_once(form: str) -> None:
    base = EMPTY_FORMS[form]
    once = rendered(base)
    assert lacking(once, SPEC).items == ()
    assert rendered(once) == once
    before, after = yaml.safe_load(base), yaml.safe_load(once)
    assert contains(after, before, part_grows=True)


@pytest.mark.parametrize("form", sorted(set(EMPTY_FORMS) - {"anchors", "merge keys", "explicit key"}))
def test_comments_stay(form: str) -> None:
    base = EMPTY_FORMS[form]
    assert rendered(base).count("#") == base.count("#")


def contains(after: Any, before: Any, *, part_grows: bool) -> bool:
    """Whether nothing of `before` was lost; null and empty collections may have been filled."""
    if not before and not isinstance(before, bool | int | float):
        return True
    if isinstance(before, dict):
        grown = part_grows and before.get("path") == PART_PATH
        return isinstance(after, dict) and all(
            key in after and ((grown and key == "content") or contains(after[key], value, part_grows=part_grows))
            for key, value in before.items()
        )
    if isinstance(before, list):
        return all(contains(new, old, part_grows=part_grows) for new, old in zip(after, before, strict=False))
    return bool(after == before)


def test_a_value_of_another_form_is_refused() -> None:
    with pytest.raises(MachineConfigInvalid, match=r"machine\.nodeLabels: not a mapping"):
        rendered("machine: {nodeLabels: 3}\n")


def test_an_alias_bomb_is_refused() -> None:
    levels = [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]
    with pytest.raises(MachineConfigInvalid, match="its aliases stand for more"):
        rendered("\n".join(["a0: &a0 [x]", *levels, "machine: {type: worker}"]))


NAMES = st.sampled_from(["a", "b.c/d", "yes", "0o600", "012", "~", "x: y", "# z", "", " lead", "ü", "line\nbreak\n"])
TREES = st.recursive(
    NAMES | st.none() | st.booleans() | st.integers(-9, 9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(
    others=st.dictionaries(st.sampled_from(["install", "network", "zz"]), TREES),
    flow=st.sampled_from([None, False, True]),
    indent=st.integers(2, 5),
    labels=st.dictionaries(NAMES, st.sampled_from(["a", "true", "1"]), max_size=2),
)
def test_whatever_stands_beside_stays(others: Any, flow: bool | None, indent: int, labels: dict[str, str]) -> None:
    document = {"machine": {"nodeLabels": labels, **others}, "cluster": others}
    base = yaml.safe_dump(document, default_flow_style=flow, indent=indent)
    once = rendered(base)
    after = yaml.safe_load(once)
    assert after["cluster"] == others
    assert {key: after["machine"][key] for key in others} == others
    assert {**labels, "node.kubernetes.io/gpu-vendor": "nvidia"} == after["machine"]["nodeLabels"]
    assert rendered(once) == once


@settings(max_examples=60, deadline=None)
@given(recipe=recipes(("1.11",)), documents=st.sets(st.sampled_from(range(5))))
def test_on_1_14_documents_are_added_once(recipe: Recipe, documents: set[int]) -> None:
    want = wanted(strategy_for("v1.14.0"), Method.NATIVE)
    base = recipe.base("machine:\n    type: worker\n    token: x\ncluster: {}\n")
    base += "".join(f"---\n{NEWER[number]}" for number in sorted(documents))
    once = render(base, lacking(base, want).patches)
    assert lacking(once, want).items == ()
    assert render(once, lacking(once, want).patches) == once
    before, after = BaseConfig.parse(base), BaseConfig.parse(once)
    added = set(want.modules) - set(before.modules)
    assert sorted(after.modules) == sorted([*before.modules, *added])
    assert len(after.udev_rules) == len(before.udev_rules) + sum(
        not same_rule(rule, before.udev_rules) for rule in want.udev_rules
    )
    assert once.count("# theirs") == base.count("# theirs")


NEWER = [
    *(f"apiVersion: v1alpha1\nkind: KernelModuleConfig\nname: {name}\n" for name in ("nvidia", "btrfs")),
    "apiVersion: v1alpha1\nkind: KernelModuleConfig\nname: nvidia_uvm\nparameters: [a=1] # theirs\n",
    f"apiVersion: v1alpha1\nkind: UdevRulesConfig\nrules:\n    - {SPEC.udev_rules[0]} # theirs\n",
    "apiVersion: v1alpha1\nkind: CRICustomizationConfig\nname: spegel\ncontent: |\n  [metrics]\n",
]
