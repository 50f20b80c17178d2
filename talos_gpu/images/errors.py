"""What can go wrong between a tag and its digest.

TalosGpuError
└── DigestUnknown            the digest of one image could not be looked up
    ├── RegistryUnreachable  no answer: name, network, TLS
    ├── RegistryRefused      an answer, and it is no: login wanted, rate limit, server fault
    └── ImageNotFound        the registry has no such name or tag
"""

from __future__ import annotations

from talos_gpu.errors import TalosGpuError

_BY_HAND = "or write its digest by hand, NAME:TAG@sha256:..., as `docker buildx imagetools inspect` shows it"


class DigestUnknown(TalosGpuError):
    """The digest of one image could not be looked up, so none is written down."""


class RegistryUnreachable(DigestUnknown):
    """The registry did not answer."""

    def __init__(self, image: str, host: str, reason: str) -> None:
        super().__init__(
            f"{image}: the registry {host} cannot be reached: {reason}",
            remedy=f"run it where the registry can be reached, {_BY_HAND}",
        )


class RegistryRefused(DigestUnknown):
    """The registry answered, and not with a digest."""

    def __init__(self, image: str, host: str, said: str) -> None:
        super().__init__(
            f"{image}: the registry {host} refuses: {said}",
            remedy=f"private images are not looked up (talos-gpu asks without a login); try again later, {_BY_HAND}",
        )


class ImageNotFound(DigestUnknown):
    """The registry has no such image."""

    def __init__(self, image: str, host: str) -> None:
        super().__init__(f"{image}: the registry {host} has no such name or tag", remedy="correct the image's name")
