"""A CDI spec as a file of the node."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from functools import lru_cache

from talos_gpu.cdi import Spec, SpecFault, SpecInvalid, parse


@dataclass(frozen=True, slots=True)
class SpecFile:
    """A file in a CDI folder."""

    path: str
    text: str
    spec: Spec | None
    """None where containerd would not load it."""
    faults: tuple[SpecFault, ...]

    @property
    def folder(self) -> str:
        """Its folder, /run written as /var/run."""
        return canonical(posixpath.dirname(self.path))

    @property
    def names(self) -> frozenset[str]:
        """Qualified names of its devices: `nvidia.com/gpu=all`."""
        return (
            frozenset(f"{self.spec.kind}={device.name}" for device in self.spec.devices) if self.spec else frozenset()
        )


@lru_cache(maxsize=16)
def loaded(text: str) -> tuple[Spec | None, tuple[SpecFault, ...]]:
    """A spec as containerd loads it, or None and every reason why it does not; kept for texts seen lately."""
    try:
        return parse(text), ()
    except SpecInvalid as error:
        return None, tuple(error.faults)


def canonical(folder: str) -> str:
    """/run/cdi and /var/run/cdi are one folder on Talos."""
    return "/var" + folder if folder.startswith("/run/") else folder
