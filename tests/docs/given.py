"""Files that a page takes as given: `given: NAME` lays them out beside the project's."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from lab import toolchain
from lab.engine import install
from talos_gpu.cdi import Strategy, patch
from tests.docs.blocks import ROOT
from tests.policy.conftest import NO_CLUSTER
from tests.talos.configs import SEED
from tests.talos.pki import Authority, talosconfig

SPEC = ROOT / "tests/fixtures/cdi/p2000-535/toolkit-1.17.8.yaml"
BASE = """\
version: v1alpha1
machine:
  type: worker
  token: not.asecret
  kubelet: {}
cluster:
  controlPlane:
    endpoint: https://192.168.1.190:6443
"""


def cdi(folder: Path, home: Path) -> dict[str, str]:
    """A generated spec, the same after a driver upgrade, and two folders of specs."""
    shutil.copy(SPEC, folder / "nvidia.yaml")
    (folder / "upgraded.yaml").write_text(SPEC.read_text().replace("535.247.01", "535.261.03"))
    for name in ("etc", "run"):
        (folder / name).mkdir(exist_ok=True)
    shutil.copy(SPEC, folder / "etc/nvidia.yaml")
    shutil.copy(SPEC, folder / "etc/old.yml")
    (folder / "run/patched.yaml").write_text(patch(SPEC.read_text(), Strategy.REAL).text)
    return {}


def base(folder: Path, home: Path) -> dict[str, str]:
    """A worker's machine config without the GPU's parts, under the names that pages use."""
    for name in ("worker.yaml", "configs/worker-talos06.yaml"):
        _write(folder / name, BASE)
    return {}


def adopt(folder: Path, home: Path) -> dict[str, str]:
    """The machine config that the write-up has one make."""
    before, machine, rest = BASE.partition("  kubelet: {}\n")
    _write(folder / "configs/worker-talos05.yaml", before + machine + SEED.removeprefix("machine:\n") + rest)
    return {}


def engine(folder: Path, home: Path) -> dict[str, str]:
    """The Pulumi engine where the reader has the official one, and credentials whose node and cluster answer nobody."""
    base(folder, home)
    authority = Authority()
    _write(home / ".talos/config", talosconfig(authority, authority.client("os:admin")))
    _write(home / ".kube/config", json.dumps(NO_CLUSTER))
    made = install.install(home / ".pulumi", toolchain.ensure(), Path(sys.executable), "standin")
    ours = made.env(home / "state", home / ".pulumi-passphrase")
    wanted = ("PULUMI_HOME", "PULUMI_SKIP_UPDATE_CHECK", "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION")
    return {key: ours[key] for key in wanted} | {"PATH": f"{made.pulumi.parent}{os.pathsep}{os.environ['PATH']}"}


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


GIVEN: Mapping[str, Callable[[Path, Path], dict[str, str]]] = {
    "adopt": adopt,
    "base": base,
    "cdi": cdi,
    "engine": engine,
}
"""Name -> what lays it out in the project's copy and the reader's home; returns what it adds to the environment."""
