"""Where the lab keeps things: build outputs in a cache, one folder of state per lab."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
"""The checkout this code runs from."""


def _xdg(variable: str, fallback: str) -> Path:
    return Path(os.environ.get(variable) or Path.home() / fallback)


def cache_root() -> Path:
    """Build outputs, keyed by version; safe to delete. `TALOS_LAB_CACHE` moves it."""
    named = os.environ.get("TALOS_LAB_CACHE")
    return Path(named) if named else _xdg("XDG_CACHE_HOME", ".cache") / "talos-nvidia-lab"


def compiling_once(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment for Python programs that are started again and again.

    Where it forbids bytecode beside the sources, bytecode goes to the cache: without any, the Pulumi SDK alone takes
    two seconds to compile at every start of a program and of a provider.
    """
    found = dict(environment)
    if found.pop("PYTHONDONTWRITEBYTECODE", None):
        found.setdefault("PYTHONPYCACHEPREFIX", str(cache_root() / "pycache"))
    return found


def lab_home() -> Path:
    """The labs' state: `TALOS_LAB_HOME` or a folder below the XDG state folder."""
    named = os.environ.get("TALOS_LAB_HOME")
    return Path(named) if named else _xdg("XDG_STATE_HOME", ".local/state") / "talos-nvidia-lab"


@dataclass(frozen=True, slots=True)
class LabPaths:
    """The folders of one lab; several labs live beside each other under different names."""

    name: str
    root: Path

    @classmethod
    def of(cls, name: str = "lab") -> LabPaths:
        """The lab called `name`, below `lab_home`."""
        return cls(name, lab_home() / name)

    @property
    def tag(self) -> str:
        """What this lab's cgroups and interfaces are called by: labs of one name in two homes never meet."""
        return f"{self.name}-{hashlib.sha256(str(self.root).encode()).hexdigest()[:8]}"

    @property
    def talos(self) -> Path:
        """Talos PKI, talosconfigs and base machine configs."""
        return self.root / "talos"

    @property
    def talosconfig(self) -> Path:
        """Credentials of role os:admin for the lab's nodes."""
        return self.talos / "talosconfig"

    @property
    def cluster(self) -> Path:
        """The control plane's data, certificates and logs."""
        return self.root / "cluster"

    @property
    def kubeconfig(self) -> Path:
        """cluster-admin of the lab's cluster."""
        return self.cluster / "admin.kubeconfig"

    @property
    def pulumi_home(self) -> Path:
        """PULUMI_HOME: the engine, its plugins and credentials; never the user's own."""
        return self.root / "pulumi"

    @property
    def pulumi_state(self) -> Path:
        """The file backend with the stacks' state."""
        return self.root / "pulumi-state"

    @property
    def record(self) -> Path:
        """What `up` chose: subnet, ports, nodes (JSON)."""
        return self.root / "lab.json"

    def node(self, name: str) -> Path:
        """Everything of one node: its persistent disks, its profile, its logs."""
        return self.root / "nodes" / name
