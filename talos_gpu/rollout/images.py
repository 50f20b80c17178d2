"""Whether a stack's images are there to be had: on the node already, or in their registry."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from talos_gpu.errors import TalosGpuError
from talos_gpu.images.errors import DigestUnknown
from talos_gpu.images.reference import LATEST, Reference
from talos_gpu.images.registry import require
from talos_gpu.kube.cluster import Cluster
from talos_gpu.settings import Settings

_TIMEOUT_S = 10.0


class ImageNotThere(TalosGpuError):
    """An image is neither on the node nor, as far as can be told, in its registry."""


def images_of(settings: Settings) -> list[str]:
    """The images that a stack's pods need."""
    found = [settings.cdi.image] if settings.cdi.method == "spec" else []
    return [*found, *([settings.tdarr.image] if settings.tdarr is not None else [])]


def require_images(settings: Settings) -> None:
    """Raise ImageNotThere with every image that is not to be had, and why."""
    wanted = {image: Reference.of(image) for image in images_of(settings)}
    there, unseen = _on_node(settings)
    missing = [reference for reference in wanted.values() if reference.full not in there]
    faults = [f"{why}{unseen}" for reference in missing if (why := _not_in_registry(reference))]
    if faults:
        raise ImageNotThere(
            "; ".join(faults),
            remedy="mend the name, push the image, or leave `image` out of rollout.yaml's preflight where nodes pull "
            "from a mirror that this machine does not reach",
        )


def _not_in_registry(reference: Reference) -> str:
    """Why an image is not to be had from its registry; "" if it is."""
    try:
        require(replace(reference, tag=reference.tag or LATEST), timeout_s=_TIMEOUT_S)
    except DigestUnknown as error:
        return error.message
    return ""


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
