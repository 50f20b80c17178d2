"""Whether a generated spec fits the node: pure."""

from __future__ import annotations

from collections.abc import Iterator

from components.drift import Cause, Drift, told
from talos_gpu import cdi
from talos_gpu.talos.facts import SPEC_SOURCE


def unfit(data: bytes | None, strategy: cdi.Strategy, driver: str | None = None) -> Drift:
    """Why a generated spec (None: there is none) cannot be used with a driver (None: any); empty if it can."""
    if data is None:
        return {Cause.REMOVED: [f"{SPEC_SOURCE} is not there"]}
    try:
        needed = cdi.facts(cdi.patch(cdi.decode(data).text, strategy).text)
    except cdi.SpecInvalid as error:
        return {Cause.UNFIT: [f"{SPEC_SOURCE}: {fault}" for fault in error.faults]}
    except cdi.CdiError as error:
        return {Cause.UNFIT: [f"{SPEC_SOURCE}: {error.message}"]}
    lines = list(_driver(needed, driver))
    return {Cause.DRIVER: lines} if lines else {}


def stale(spec: cdi.Spec, host: cdi.HostFacts) -> Drift:
    """What of a generated spec is no longer its host's and would be mended by generating anew; empty if nothing is.

    A hook binary that is missing is not: the generator would name the same one again.
    """
    lines = [
        f"{SPEC_SOURCE}: {finding.evidence}"
        for finding in cdi.freshness(spec, host)
        if finding.check is not cdi.Check.HOOK_MISSING and (finding.breaks or finding.check is cdi.Check.GPU_NEW)
    ]
    return {Cause.UNFIT: told(lines)} if lines else {}


def _driver(needed: cdi.SpecFacts, driver: str | None) -> Iterator[str]:
    if driver is None:
        return
    if needed.driver_version is None:
        named = ", ".join(needed.driver_versions) or "none"
        yield f"{SPEC_SOURCE} must name one driver version, it names {named}"
    elif needed.driver_version != driver:
        yield f"{SPEC_SOURCE} was made for driver {needed.driver_version}, the node has {driver}"
