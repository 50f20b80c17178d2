"""How a stack's node is reached, by its settings."""

from __future__ import annotations

from talos_gpu.settings import Settings
from talos_gpu.talos.client import MachineClient, dialled


def machine(settings: Settings) -> MachineClient:
    """A client of the node's machine API. Raises TalosConfigInvalid."""
    node = settings.node
    return dialled(settings.talosconfig, settings.talos_context, node.endpoint or str(node.address), str(node.address))
