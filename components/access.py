"""How this program reaches node and cluster: paths from the stack's configuration, never values in the state.

The clients are imported where they are used: a preview that finds nothing to do asks neither node nor cluster.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from talos_gpu.project import PROJECT
from talos_gpu.talos.endpoint import forwarded_to
from talos_gpu.talos.errors import CertificateRejected, PermissionDenied

if TYPE_CHECKING:
    from talos_gpu.kube.cluster import Cluster
    from talos_gpu.talos.client import MachineClient
    from talos_gpu.talos.credentials import Credentials

_OF_THE_LAST_UP = "where the stack names another path by now, add --run-program: a refresh alone takes the last `up`'s"
"""Pulumi 3.259 configures a provider from the state when it refreshes or destroys, from the program otherwise."""


@dataclass(frozen=True, slots=True)
class Target:
    """One node as the Talos API reaches it."""

    name: str
    address: str
    endpoint: str

    @property
    def forwarded_to(self) -> str | None:
        """The node to name to the endpoint, None where the endpoint is the node."""
        return forwarded_to(self.endpoint, self.address)

    @classmethod
    def of(cls, name: str, address: str, endpoint: str | None) -> Target:
        """`endpoint` is HOST or HOST:PORT; None: the node itself."""
        return cls(name, address, endpoint or address)


@dataclass(frozen=True, slots=True)
class Access:
    """Paths of credentials and of the base machine config. Empty: the environment's, then the usual place."""

    talosconfig: str
    kubeconfig: str
    base: str
    context: str = ""
    """Of the talosconfig; empty: its current one."""

    @classmethod
    def of(cls, get: Callable[[str], Any]) -> Access:
        """Read them from a stack's configuration, where structured values may be JSON text."""
        machine = get(f"{PROJECT}:machine") or {}
        if isinstance(machine, str):
            machine = json.loads(machine)
        return cls(
            talosconfig=str(get(f"{PROJECT}:talosconfig") or ""),
            kubeconfig=str(get(f"{PROJECT}:kubeconfig") or ""),
            base=str(machine.get("base") or ""),
            context=str(get(f"{PROJECT}:talos_context") or ""),
        )

    def credentials(self) -> Credentials:
        """The talosconfig's credentials. Raises TalosConfigInvalid."""
        from talos_gpu.talos.credentials import TalosConfig

        return TalosConfig.load(self.talosconfig or None, self.context or None)

    @asynccontextmanager
    async def machine(self, target: Target) -> AsyncIterator[MachineClient]:
        """A client of the node's machine API; a refusal of the credentials says which file they are from."""
        from talos_gpu.talos.client import MachineClient

        async with MachineClient(self.credentials(), target.endpoint, target.forwarded_to) as client:
            try:
                yield client
            except (CertificateRejected, PermissionDenied) as error:
                error.add_note(f"  credentials: {self.talosconfig or 'the default talosconfig'}; {_OF_THE_LAST_UP}")
                raise

    def cluster(self) -> Cluster:
        """A client of the cluster; the first call tells whether it answers."""
        from talos_gpu.kube.cluster import Cluster

        return Cluster(self.kubeconfig or None, connect=False)

    def base_config(self) -> str:
        """The base machine config's text."""
        return Path(self.base).expanduser().read_text(encoding="utf-8")
