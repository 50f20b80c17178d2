"""OCI images made here, without a registry: from the machine's Debian packages, the same bytes each time."""

from lab.images.build import SYSTEM_PACKAGES, Image, build_images, image_of
from lab.images.tree import Link

__all__ = ["SYSTEM_PACKAGES", "Image", "Link", "build_images", "image_of"]
