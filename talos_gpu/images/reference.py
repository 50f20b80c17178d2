"""An image reference in its parts, as the distribution project's reference package normalises it."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

DEFAULT_DOMAIN = "docker.io"
"""Of names without a registry; one-word names of it lie below `library/`."""
LATEST = "latest"
"""The tag of a reference that has neither tag nor digest."""
_API_PREFIX = "registry-1."
"""The default domain serves its API under this name below itself (distribution/reference, moby/moby registry)."""


@dataclass(frozen=True, slots=True)
class Reference:
    """`ghcr.io/owner/name:1.2@sha256:...`; tag and digest are "" where the reference has none."""

    written: str
    """As it stands in the stack file."""
    domain: str
    """HOST or HOST:PORT."""
    repository: str
    """Without the domain: `library/debian`."""
    tag: str
    digest: str

    @classmethod
    def of(cls, image: str) -> Reference:
        """The parts of a reference that the settings accept (`talos_gpu.settings.rules.Image`)."""
        rest, _, digest = image.partition("@")
        head, colon, tag = rest.rpartition(":")
        name, tag = (head, tag) if colon and "/" not in tag else (rest, "")
        first, slash, below = name.partition("/")
        if slash and ("." in first or ":" in first or first == "localhost"):
            domain, repository = first, below
        else:
            domain, repository = DEFAULT_DOMAIN, name
        if domain == DEFAULT_DOMAIN and "/" not in repository:
            repository = f"library/{repository}"
        return cls(image, domain, repository, tag, digest)

    @property
    def base(self) -> str:
        """The API's base URL. Plain http for loopback addresses alone, as container runtimes do it."""
        host = f"{_API_PREFIX}{self.domain}" if self.domain == DEFAULT_DOMAIN else self.domain
        return f"{'http' if is_loopback(self.domain) else 'https'}://{host}"

    @property
    def full(self) -> str:
        """As containerd and a Node's status call it: by its digest if it has one, else by its tag, or `latest`."""
        name = f"{self.domain}/{self.repository}"
        return f"{name}@{self.digest}" if self.digest else f"{name}:{self.tag or LATEST}"

    def pinned(self, digest: str) -> str:
        """The reference with a digest; name and tag stay as written."""
        return f"{self.written.partition('@')[0]}@{digest}"


def is_loopback(host: str) -> bool:
    """Whether HOST or HOST:PORT is this machine."""
    name = host.rpartition(":")[0] if host.count(":") == 1 else host
    try:
        return ipaddress.ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return name == "localhost"
