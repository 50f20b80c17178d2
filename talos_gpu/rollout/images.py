"""Whether a stack's images are there to be had: on the node already, or in their registry.

Names as containerd and the kubelet write them in full (distribution/reference: `docker.io/library/` where a name says
nothing else); the registry by the distribution API: a HEAD of the manifest, with the anonymous token that it asks for.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Collection
from dataclasses import dataclass

import httpx

from talos_gpu.errors import TalosGpuError
from talos_gpu.kube.cluster import Cluster
from talos_gpu.settings import Settings

_TIMEOUT_S = 10.0
_DOCKER = "docker.io"
_DOCKER_API = "registry-1.docker.io"
_LOCAL = re.compile(r"(localhost|127\.0\.0\.1|\[::1\])(:\d+)?")
"""Registries that are spoken to without TLS, as containerd does."""
_KINDS = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
_CHALLENGE = re.compile(r'(\w+)="([^"]*)"')


class ImageNotThere(TalosGpuError):
    """An image is neither on the node nor, as far as can be told, in its registry."""


@dataclass(frozen=True, slots=True)
class Reference:
    """An image's name in full."""

    host: str
    repository: str
    tag: str
    """`latest` where neither tag nor digest is given, "" beside a digest."""
    digest: str

    @classmethod
    def of(cls, image: str) -> Reference:
        """From an image's name."""
        name, _, digest = image.partition("@")
        first, slash, rest = name.partition("/")
        is_host = bool(slash) and ("." in first or ":" in first or first == "localhost")
        host, path = (first, rest) if is_host else (_DOCKER, name)
        path, _, tag = path.partition(":")
        repository = f"library/{path}" if host == _DOCKER and "/" not in path else path
        return cls(host, repository, tag if digest else tag or "latest", digest)

    @property
    def names(self) -> Collection[str]:
        """As a Node's status may list it."""
        name = f"{self.host}/{self.repository}"
        return {f"{name}@{self.digest}"} if self.digest else {f"{name}:{self.tag}"}

    @property
    def manifest(self) -> str:
        """URL of its manifest."""
        scheme = "http" if _LOCAL.fullmatch(self.host) else "https"
        host = _DOCKER_API if self.host == _DOCKER else self.host
        return f"{scheme}://{host}/v2/{self.repository}/manifests/{self.digest or self.tag}"


def images_of(settings: Settings) -> list[str]:
    """The images that a stack's pods need."""
    found = [settings.cdi.image] if settings.cdi.method == "spec" else []
    return [*found, *([settings.tdarr.image] if settings.tdarr is not None else [])]


def require_images(settings: Settings) -> None:
    """Raise ImageNotThere with every image that is not to be had, and why."""
    wanted = {image: Reference.of(image) for image in images_of(settings)}
    there, unseen = _on_node(settings)
    missing = {image: ref for image, ref in wanted.items() if not there & set(ref.names)}
    faults = [f"{image}: {why}{unseen}" for image, ref in missing.items() if (why := not_in_registry(ref))]
    if faults:
        raise ImageNotThere(
            "; ".join(faults),
            remedy="mend the name, push the image, or leave `image` out of rollout.yaml's preflight where nodes pull "
            "from a mirror that this machine does not reach",
        )


def not_in_registry(reference: Reference) -> str:
    """Why an image's manifest cannot be had from its registry; "" if it can."""
    headers = {"Accept": ", ".join(_KINDS)}
    try:
        with httpx.Client(timeout=_TIMEOUT_S, follow_redirects=True, headers=headers) as client:
            answer = client.head(reference.manifest)
            if answer.status_code == httpx.codes.UNAUTHORIZED:
                token = _token(client, answer.headers.get("WWW-Authenticate", ""))
                answer = client.head(reference.manifest, headers={"Authorization": f"Bearer {token}"})
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        return f"its registry {reference.host} could not be asked ({error or type(error).__name__})"
    if answer.is_success:
        return ""
    if answer.status_code == httpx.codes.NOT_FOUND:
        return f"its registry {reference.host} does not have it"
    return f"its registry {reference.host} says {answer.status_code} {answer.reason_phrase}"


def _token(client: httpx.Client, challenge: str) -> str:
    parameters = dict(_CHALLENGE.findall(challenge))
    if not challenge.lower().startswith("bearer ") or "realm" not in parameters:
        raise ValueError("it asks for credentials")
    realm = parameters.pop("realm")
    answer = client.get(realm, params=parameters).raise_for_status().json()
    return str(answer.get("token") or answer.get("access_token") or "")


def _on_node(settings: Settings) -> tuple[set[str], str]:
    """The images that the node has, and why that is not known, "" if it is."""
    try:
        return asyncio.run(_listed(settings)), ""
    except TalosGpuError as error:
        return set(), f"; whether the node has it is not known ({error.message})"


async def _listed(settings: Settings) -> set[str]:
    async with Cluster(settings.kubeconfig or None) as cluster:
        node = await cluster.fetch(f"/api/v1/nodes/{settings.node.name}") or {}
    return {name for image in node.get("status", {}).get("images", ()) for name in image.get("names", ())}
