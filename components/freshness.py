"""Whether a generated spec fits the node: pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from components.drift import Cause, Drift
from talos_gpu import cdi
from talos_gpu.talos.facts import SPEC_SOURCE

_DRIVERS_OF = {
    "/dev/nvidia-uvm": ("nvidia-uvm",),
    "/dev/nvidia-uvm-tools": ("nvidia-uvm",),
    "/dev/nvidiactl": ("nvidia", "nvidia-frontend"),
    "/dev/nvidia-modeset": ("nvidia-modeset", "nvidia", "nvidia-frontend"),
    "/dev/nvidia0": ("nvidia", "nvidia-frontend"),
}
"""Device node -> names of its driver in /proc/devices, by release (`nvidia-frontend` up to driver 545)."""


def unfit(data: bytes | None, strategy: cdi.Strategy, driver: str | None, majors: Mapping[str, int]) -> Drift:
    """Why a generated spec (None: there is none) cannot be used on a node; empty if it can."""
    if data is None:
        return {Cause.REMOVED: [f"{SPEC_SOURCE} is not there"]}
    try:
        text = cdi.decode(data).text
        cdi.patch(text, strategy)
        needed = cdi.facts(text)
    except cdi.SpecInvalid as error:
        return {Cause.UNFIT: [f"{SPEC_SOURCE}: {fault}" for fault in error.faults]}
    except cdi.CdiError as error:
        return {Cause.UNFIT: [f"{SPEC_SOURCE}: {error.message}"]}
    found = {Cause.DRIVER: list(_driver(needed, driver)), Cause.UNFIT: list(_majors(needed, majors))}
    return {cause: lines for cause, lines in found.items() if lines}


def _driver(needed: cdi.SpecFacts, driver: str | None) -> Iterator[str]:
    if driver is None:
        return
    if needed.driver_version is None:
        named = ", ".join(needed.driver_versions) or "none"
        yield f"{SPEC_SOURCE} must name one driver version, it names {named}"
    elif needed.driver_version != driver:
        yield f"{SPEC_SOURCE} was made for driver {needed.driver_version}, the node has {driver}"


def _majors(needed: cdi.SpecFacts, majors: Mapping[str, int]) -> Iterator[str]:
    for path, (major, _) in needed.majors.items():
        have = next((majors[name] for name in _DRIVERS_OF.get(path, ()) if name in majors), None)
        if have is not None and have != major:
            yield f"{SPEC_SOURCE} says major {major} of {path}, the node has {have}"
