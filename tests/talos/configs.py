"""Machine configs that several tests start from."""

from __future__ import annotations

from typing import Any

import yaml

from talos_gpu.talos.machine_config import wanted
from talos_gpu.talos.part import PART_PATH
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


def with_parts(*contents: str, path: str = PART_PATH) -> str:
    return merged(BARE, yaml.safe_dump({"machine": {"files": [{"path": path, "content": text} for text in contents]}}))
