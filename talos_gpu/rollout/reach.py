"""How a stack's node is reached, by its settings."""

from __future__ import annotations

from talos_gpu.settings import Settings
from talos_gpu.talos.client import MachineClient
from talos_gpu.talos.credentials import TalosConfig
from talos_gpu.talos.endpoint import forwarded_to


def machine(settings: Settings) -> MachineClient:
    """A client of the node's machine API. Raises TalosConfigInvalid."""
    node = settings.node
    endpoint, address = node.endpoint or str(node.address), str(node.address)
    credentials = TalosConfig.load(settings.talosconfig or None)
    return MachineClient(credentials, endpoint, forwarded_to(endpoint, address))
