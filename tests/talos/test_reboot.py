"""Whether a change of the machine config restarts the node, told without the node and checked against Talos's rule."""

from __future__ import annotations

import copy
import json
from functools import lru_cache
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from talos_gpu.talos.part import PART_PATH
from talos_gpu.talos.reboot import LIVE, By, reboot_reasons
from talos_gpu.talos.releases import strategy_for
from tests.talos.oracle_client import TalosOracle

R111, R114 = strategy_for("1.11"), strategy_for("1.14")
OTHERWISE = "Talos does not change it on a running machine"
BASE = """\
machine:
  type: worker
  files: [{path: /var/x, content: a, permissions: 0o600}]
  udev: {rules: [a]}
  kernel: {modules: [{name: a}]}
  features: {rbac: true, hostDNS: {enabled: true}}
cluster: {id: x}
"""


@pytest.mark.parametrize(
    ("old", "new", "reasons"),
    [
        ("rules: [a]", "rules: [a, b]", ["machine.udev (udev rules are read at boot)"]),
        ("content: a", "content: b", ["machine.files: /var/x (files are written at boot)"]),
        (
            "files: [",
            f"files: [{{path: {PART_PATH}}}, ",
            [f"machine.files: {PART_PATH} (files are written at boot)"],
        ),
        ("rbac: true", "rbac: false", [f"machine.features.rbac ({OTHERWISE})"]),
        (
            "  type: worker\n",
            "  type: worker\n  env: {A: b}\n",
            [f"machine.env ({OTHERWISE})"],
        ),
        ("cluster:", "persist: true\ncluster:", [f"persist ({OTHERWISE})"]),
        ("name: a", "name: b", []),
        ("enabled: true", "enabled: false", []),
        ("id: x", "id: y", []),
        ("type: worker", "type: worker\n  nodeLabels: {a: b}", []),
        ("permissions: 0o600", "permissions: 384", []),
        ("machine:", "# a comment\nmachine:", []),
        ("type: worker", "type: worker\n  sysctls:", []),
        ("cluster: {id: x}\n", "cluster: {id: x}\n---\nkind: KmsgLogConfig\n", []),
    ],
)
def test_a_change_names_the_keys_that_cost_a_restart(old: str, new: str, reasons: list[str]) -> None:
    found = reboot_reasons(BASE, BASE.replace(old, new), R111)
    assert [reason.sentence for reason in found] == reasons
    assert all(reason.by is By.APPLY for reason in found)


def test_files_in_another_order_are_all_named() -> None:
    two = BASE.replace("files: [", "files: [{path: /var/y}, ")
    files = "files: [{path: /var/x, content: a, permissions: 0o600}, {path: /var/y}]"
    other = BASE.replace("files: [{path: /var/x, content: a, permissions: 0o600}]", files)
    assert [reason.key for reason in reboot_reasons(two, other, R111)] == [
        "machine.files: /var/y",
        "machine.files: /var/x",
    ]


def test_1_14_restarts_nothing_by_itself_and_takes_the_part_and_udev_at_once() -> None:
    new = BASE.replace("files: [", f"files: [{{path: {PART_PATH}}}, ").replace("rules: [a]", "rules: [b]")
    assert reboot_reasons(BASE, new, R114) == ()
    other = new.replace("content: a", "content: b")
    assert [(reason.key, reason.by) for reason in reboot_reasons(BASE, other, R114)] == [
        ("machine.files: /var/x", By.REQUEST)
    ]


CHANGES: dict[str, Any] = {
    "env": {"A": "b"},
    "files": [{"path": "/var/x", "content": "a", "permissions": 384, "op": "create"}],
    "udev": {"rules": ['KERNEL=="x"']},
    "kernel": {"modules": [{"name": "x"}]},
    "sysctls": {"vm.nr_hugepages": "1"},
    "sysfs": {"a.b": "1"},
    "nodeLabels": {"rack": "1"},
    "nodeTaints": {"a": "b:NoSchedule"},
    "nodeAnnotations": {"a": "b"},
    "certSANs": ["x"],
    "pods": [{"apiVersion": "v1"}],
    "logging": {"destinations": []},
    "seccompProfiles": [{"name": "a.json", "value": {"a": "b"}}],
    "baseRuntimeSpecOverrides": {"process": {"cwd": "/"}},
    "systemDiskEncryption": {"state": {"provider": "luks2", "keys": [{"slot": 0, "static": {"passphrase": "x"}}]}},
    "disks": [{"device": "/dev/sdb"}],
    "controlPlane": {"scheduler": {"disabled": True}},
    "time": {"disabled": True},
    "network": {"hostname": "x"},
}
FEATURES: dict[str, Any] = {
    "hostDNS": {"enabled": False},
    "kubePrism": {"enabled": False, "port": 7445},
    "imageCache": {"localEnabled": True},
    "nodeAddressSortAlgorithm": "v1",
    "rbac": False,
    "stableHostname": False,
    "apidCheckExtKeyUsage": False,
    "diskQuotaSupport": False,
}


@lru_cache
def loaded(text: str) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(text)
    return document


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    keys=st.sets(st.sampled_from(sorted(CHANGES)), max_size=4),
    features=st.sets(st.sampled_from(sorted(FEATURES)), max_size=2),
    kind=st.sampled_from(["worker", "controlplane"]),
    cluster=st.booleans(),
)
def test_talos_agrees(oracle: TalosOracle, keys: set[str], features: set[str], kind: str, cluster: bool) -> None:
    old = loaded(oracle.generated("1.11", kind))
    new = copy.deepcopy(old)
    new["machine"].update({key: CHANGES[key] for key in keys})
    new["machine"]["features"].update({key: FEATURES[key] for key in features})
    if cluster:
        new["cluster"]["clusterName"] = "another"
    before, after = json.dumps(old), json.dumps(new)
    said = oracle.ask("immediate", config=before, next=after)["error"]
    assert said in {"", "reboot"}
    assert bool(said) == bool(reboot_reasons(before, after, R111))
    assert bool(oracle.ask("immediate", config=after, next=before)["error"]) == bool(said)


def test_the_live_fields_are_talos_own(oracle: TalosOracle) -> None:
    said = oracle.ask("live")
    assert not said["error"]
    assert {path: sorted(names) for path, names in LIVE.items()} == said["live"]
