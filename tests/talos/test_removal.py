"""What the first apply would take away."""

from __future__ import annotations

import pytest

from talos_gpu.talos.removal import removed
from tests.talos.configs import BARE

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
        "the document EthernetConfig enp0s1",
    )


@pytest.mark.parametrize("config", [BARE, LIVE, NEW])
def test_the_same_config_removes_nothing(config: str) -> None:
    assert removed(config, config) == ()


def test_what_is_added_or_changed_is_no_removal() -> None:
    assert removed(BARE, BARE.replace("type: worker", "type: controlplane\n  sysctls: {a: b}")) == ()
