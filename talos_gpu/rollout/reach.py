"""How a stack's node is reached, by its settings."""

from __future__ import annotations

from talos_gpu.settings import Settings
from talos_gpu.talos.client import MachineClient
from talos_gpu.talos.credentials import TalosConfig

TALOS_API = 50000


def machine(settings: Settings) -> MachineClient:
    """A client of the node's machine API. Raises TalosConfigInvalid."""
    node = settings.node
    endpoint, address = node.endpoint or str(node.address), str(node.address)
    forwarded_to = None if host_and_port(endpoint)[0] == address else address
    return MachineClient(TalosConfig.load(settings.talosconfig or None), endpoint, forwarded_to)


def host_and_port(endpoint: str) -> tuple[str, int]:
    """The parts of HOST or HOST:PORT."""
    host, colon, port = endpoint.rpartition(":")
    if colon and port.isdigit() and (":" not in host or host.startswith("[")):
        return host.strip("[]"), int(port)
    return endpoint.strip("[]"), TALOS_API
