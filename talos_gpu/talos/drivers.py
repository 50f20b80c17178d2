"""Which GPU generations each NVIDIA driver branch serves, and so which extension a node needs.

Sources: NVIDIA's notice that branch 580 is the last for Maxwell, Pascal and Volta, and what it means for users of 590
and later ("supported through the NVIDIA 580.xx Legacy drivers", NixOS/nixos-hardware#1880); Blackwell came with 570 and
has no closed kernel modules, open ones exist from Turing on (NVIDIA/open-gpu-kernel-modules README). On Talos 1.13 and
later "production" is 595, so a Pascal such as the Quadro P2000 needs -lts (seen with a GTX 1070 on 1.13.6,
allenporter/k8s-gitops#2518). Nothing of it was run on such hardware by the project.
"""

from __future__ import annotations

from enum import IntEnum

from talos_gpu.talos.releases import ReleaseFacts


class Generation(IntEnum):
    """GPU generations, oldest first."""

    KEPLER = 1
    MAXWELL = 2
    PASCAL = 3
    """Quadro P2000, GTX 10."""
    VOLTA = 4
    TURING = 5
    AMPERE = 6
    ADA = 7
    HOPPER = 8
    BLACKWELL = 9


def serves(driver: str, generation: Generation) -> bool:
    """Whether the driver (`535.247.01`, `580`) serves the generation."""
    branch = int(driver.partition(".")[0])
    oldest = Generation.TURING if branch >= 590 else Generation.MAXWELL
    newest = Generation.BLACKWELL if branch >= 570 else Generation.HOPPER
    return oldest <= generation <= newest


def needs_open_modules(generation: Generation) -> bool:
    """Whether only the open kernel modules (nvidia-open-gpu-kernel-modules-*) drive the generation."""
    return generation >= Generation.BLACKWELL


def flavours(release: ReleaseFacts, generation: Generation) -> tuple[str, ...]:
    """Return which of the release's extension flavours, `lts` and `production`, serve the generation; may be none."""
    drivers = {"lts": release.lts_driver, "production": release.production_driver}
    return tuple(flavour for flavour, driver in drivers.items() if serves(driver, generation))
