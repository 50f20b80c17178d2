"""Where the machine API is dialled, and which node is named to the endpoint there."""

from __future__ import annotations

PORT = 50000
"""Where apid listens."""


def split_endpoint(endpoint: str, port: int = PORT) -> tuple[str, int]:
    """Split `host`, `host:port`, `[v6]:port` or a bare IPv6 address into host and port (`port` where none is said)."""
    if endpoint.startswith("["):
        host, _, rest = endpoint[1:].partition("]")
        return host, int(rest[1:]) if rest else port
    host, colon, rest = endpoint.rpartition(":")
    if colon and ":" not in host:
        return host, int(rest)
    return endpoint, port


def forwarded_to(endpoint: str, address: str) -> str | None:
    """The node that the endpoint is told to pass a call on to; None where the endpoint is the node itself."""
    return None if split_endpoint(endpoint)[0] == address.strip("[]") else address
