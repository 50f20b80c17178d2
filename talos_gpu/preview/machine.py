"""The machine config that an update applies beside the one applied last, and whether that restarts the node."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from talos_gpu.preview.events import SECRET
from talos_gpu.preview.model import ConfigDiff, Reboot
from talos_gpu.settings import Settings
from talos_gpu.talos.config_diff import config_diff
from talos_gpu.talos.machine_config import lacking, wanted
from talos_gpu.talos.reboot import By, reboot_reasons
from talos_gpu.talos.releases import Method, strategy_for
from talos_gpu.talos.render import render

APPLY = "talos:machine/configurationApply:ConfigurationApply"
_FIRST = "this stack has applied nothing yet: what the node has is not known, the base config stands for it"
_LEFT_OVER = "an update before has staged the machine config and failed: it holds from the next boot on"
_AGAIN = "the same config is applied again to mend drift; the node decides during the update"


def applied(deployment: Mapping[str, Any]) -> str | None:
    """The machine config that was applied last, from a state exported with its secrets; None if there is none."""
    for resource in _applies(deployment):
        value = (resource.get("inputs") or {}).get("machineConfigurationInput")
        if isinstance(value, dict) and SECRET in value:
            value = json.loads(value["plaintext"])
        return value if isinstance(value, str) else None
    return None


def has_applied(deployment: Mapping[str, Any]) -> bool:
    """Whether a state, exported with or without its secrets, has an applied machine config."""
    return any(True for _ in _applies(deployment))


def _applies(deployment: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for resource in deployment.get("resources") or ():
        if resource.get("type") == APPLY and not resource.get("delete"):
            yield resource


def rendered(settings: Settings, project: Path) -> tuple[str, str]:
    """(base, rendered) machine config, as the program renders it. Raises TalosGpuError or OSError."""
    base = (project / settings.base_path).read_text(encoding="utf-8")
    release = strategy_for(settings.node.release)
    want = wanted(release, Method(settings.cdi.method), default_runtime=settings.cdi.runtime == "default")
    return base, render(base, lacking(base, want).patches)


def compared(old: str | None, base: str, new: str) -> ConfigDiff:
    """What changes; `old` is what was applied last, None: nothing."""
    if old == new:
        return ConfigDiff(known="same")
    names = ("base" if old is None else "applied", "rendered")
    diff = config_diff(base if old is None else old, new, names=names, lengths=True)
    if old is None:
        return ConfigDiff(known="first", note=_FIRST, diff=diff)
    note = "" if diff else "only hidden values of the same length, or spelling, change"
    return ConfigDiff(known="known", note=note, diff=diff)


def reboot(settings: Settings, old: str | None, base: str, new: str) -> Reboot:
    """Whether applying `new` restarts the node."""
    found = reboot_reasons(base if old is None else old, new, strategy_for(settings.node.release))
    asked = " (the update asks for it)" if any(reason.by is By.REQUEST for reason in found) else ""
    reasons = tuple(f"{reason.sentence}{asked}" for reason in found)
    if settings.machine.apply_mode == "staged":
        return Reboot(verdict="no", reasons=("staged: it takes effect with the next boot", *reasons))
    if old == new:
        return Reboot(verdict="possible", reasons=(_AGAIN,))
    if old is not None and not reasons:
        return Reboot(verdict="no", reasons=("a running node takes every changed field",))
    return _as_allowed(settings, "possible", reasons, _FIRST) if old is None else _as_allowed(settings, "yes", reasons)


def left_over(settings: Settings) -> Reboot:
    """The restart of a config that an update before has staged, and failed before it was made."""
    return _as_allowed(settings, "yes", (_LEFT_OVER,))


def _as_allowed(settings: Settings, verdict: Literal["yes", "possible"], reasons: Sequence[str], *first: str) -> Reboot:
    """The verdict, `first` before its reasons, unless the stack forbids a restart."""
    if settings.machine.reboot == "forbid" or settings.machine.apply_mode == "no_reboot":
        key = "machine.reboot: forbid" if settings.machine.reboot == "forbid" else "machine.apply_mode: no_reboot"
        return Reboot(
            verdict="refused", reasons=(f"the stack says {key}, so the update fails if it needs one", *reasons)
        )
    within = ["the update refuses it outside of machine.windows"] if settings.machine.windows else []
    return Reboot(verdict=verdict, reasons=(*first, *reasons, *within))
