"""What the first apply would take away."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from talos_gpu.talos.removal import removed
from tests.talos.configs import BARE
from tests.talos.oracle_client import TalosOracle

LIVE = """\
machine:
  type: worker
  token: abcdef.0123456789abcdef
  certSANs: []
  env: {http_proxy: http://proxy}
  udev:
    rules: ['KERNEL=="a"', 'KERNEL=="b"']
  files:
  - {path: /var/a, content: x, permissions: 0o600}
  - {path: /var/b, content: y}
  kernel:
    modules:
    - name: nvidia
      parameters: [NVreg_A=1]
  sysctls: {vm.nr_hugepages: "2048"}
  features: {rbac: true, stableHostname: false}
cluster:
  controlPlane:
    endpoint: https://10.5.0.1:6443
---
apiVersion: v1alpha1
kind: EthernetConfig
name: enp0s1
"""
NEW = """\
version: v1alpha1
machine:
  type: worker
  token: abcdef.0123456789abcdef
  udev: {rules: ['KERNEL=="b"']}
  files:
  - {path: /var/a, content: other}
  kernel: {modules: [{name: nvidia}]}
  features: {rbac: true}
cluster:
  controlPlane:
    endpoint: https://10.5.0.1:6443
"""


def test_every_key_that_goes_is_named_and_no_value_is() -> None:
    assert removed(LIVE, NEW) == (
        "machine.env",
        "machine.udev.rules[0]",
        "machine.files: /var/a.permissions",
        "machine.files: /var/b",
        "machine.kernel.modules: nvidia.parameters",
        "machine.sysctls",
        "machine.features.stableHostname",
        "the document EthernetConfig enp0s1",
    )


@pytest.mark.parametrize("config", [BARE, LIVE, NEW])
def test_the_same_config_removes_nothing(config: str) -> None:
    assert removed(config, config) == ()


def test_what_is_added_or_changed_is_no_removal() -> None:
    assert removed(BARE, BARE.replace("type: worker", "type: controlplane\n  sysctls: {a: b}")) == ()


SPOKEN = """\
machine:
  nodeLabels: {node-role.kubernetes.io/worker: "", bgp: "false"}
  kubelet:
    extraArgs: {rotate-server-certificates: "false"}
    extraConfig: {failSwapOn: false}
  network:
    interfaces:
    - interface: eth0
      dhcpOptions: {ipv4: false}
cluster:
  apiServer:
    extraArgs: {anonymous-auth: "false"}
"""
BARELY = """\
machine:
  kubelet: {image: a}
  network: {interfaces: [{interface: eth0}]}
cluster:
  apiServer: {image: b}
"""


def test_false_and_empty_values_that_somebody_has_set_are_named() -> None:
    assert removed(SPOKEN, BARELY) == (
        "machine.nodeLabels",
        "machine.kubelet.extraArgs",
        "machine.kubelet.extraConfig",
        "machine.network.interfaces: eth0.dhcpOptions",
        "cluster.apiServer.extraArgs",
    )


def test_one_label_without_a_value_that_goes_is_named_and_a_null_for_it_is_the_same() -> None:
    live = "machine: {nodeLabels: {role/worker: '', gpu: 'yes'}}\n"
    assert removed(live, "machine: {nodeLabels: {gpu: 'yes'}}\n") == ("machine.nodeLabels.role/worker",)
    assert removed(live, "machine: {nodeLabels: {gpu: 'yes', role/worker: }}\n") == ()


def test_what_talos_writes_for_unset_fields_is_no_removal() -> None:
    live = """\
machine:
  ca: {crt: abc, key: ""}
  certSANs: []
  install: {disk: /dev/sda, wipe: null}
  network: {}
cluster:
  network: {dnsDomain: "", podSubnets: [10.0.0.0/8], serviceSubnets: []}
"""
    base = """\
machine: {ca: {crt: abc}, install: {disk: /dev/sda}}
cluster: {network: {podSubnets: [10.0.0.0/8]}}
"""
    assert removed(live, base) == ()


def spare(value: Any) -> Any:
    """A config without the keys that say nothing."""
    if isinstance(value, list):
        return [spare(item) for item in value]
    if isinstance(value, dict):
        kept = {key: spare(item) for key, item in value.items()}
        return {key: item for key, item in kept.items() if item not in (None, "", [], {})}
    return value


@pytest.mark.parametrize("kind", ["worker", "controlplane"])
def test_what_talos_itself_adds_to_a_spare_config_is_no_removal(oracle: TalosOracle, kind: str) -> None:
    base = yaml.safe_dump(spare(yaml.safe_load(oracle.generated("1.11", kind))))
    live = oracle.ask("patch", config=base, patches=[f"machine: {{type: {kind}}}"])["config"]
    assert "wipe: false" in live
    assert removed(live, base) == ()
