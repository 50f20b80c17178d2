"""What an update changes in the installed CDI spec, as far as that is known without the node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from talos_gpu import cdi
from talos_gpu.cdi.hooks import hook_command
from talos_gpu.cdi.strategy import CDI_HOOK, CDI_HOOK_REAL, NVIDIA_CTK
from talos_gpu.preview.events import UNKNOWN, Said
from talos_gpu.preview.model import SpecChange, SpecDiff
from talos_gpu.settings import Settings
from talos_gpu.talos.releases import strategy_for

PAYLOAD = "nvidia.yaml"
"""Key of the installer's ConfigMap that holds the spec."""
_UNKNOWN = "the spec is generated anew on the node during the update; what it will say is known then"
_PREDICTED = (
    "the hooks are told from the stack's settings and the installed spec; "
    "driver, devices and libraries are read on the node during the update"
)


def compared(said: Said, settings: Settings) -> SpecDiff:
    """What changes for containers."""
    if settings.cdi.method != "spec":
        return SpecDiff(known="none", note=f"method {settings.cdi.method}: no spec is installed by this stack")
    spec, payload = said.step("Spec"), said.step("ConfigMap")
    if payload is None and spec is None:
        return SpecDiff(known="same")
    old = _text(payload.old if payload else {}) or _output(spec.old if spec else {}, "text")
    new = _text(payload.new if payload else {})
    if old is None:
        return SpecDiff(known="unknown", note="the first spec of this stack: it is generated on the node")
    if new is not None and new != UNKNOWN:
        changes = cdi.diff(old, new)
        note = "" if changes else "the spec stays as it is; the installer beside it changes"
        return SpecDiff(known="known" if changes else "same", note=note, changes=_changes(changes))
    was = _output(spec.old if spec else {}, "strategy")
    will = cdi.Strategy(settings.cdi.hook) if settings.cdi.hook != "auto" else strategy_for(settings.node.release).hook
    if was is None or was == will:
        return SpecDiff(known="unknown", note=_UNKNOWN)
    before = cdi.parse(old)
    return SpecDiff(known="predicted", note=_PREDICTED, changes=_changes(cdi.diff_of(before, with_hooks(before, will))))


def _changes(changes: Sequence[cdi.Change]) -> tuple[SpecChange, ...]:
    return tuple(
        SpecChange(change=change.kind.value, path=change.path, old=change.old, new=change.new, count=change.count)
        for change in changes
    )


def _text(side: Mapping[str, Any]) -> str | None:
    data = (side.get("inputs") or {}).get("data") or {}
    return data.get(PAYLOAD) if isinstance(data, dict) else None


def _output(side: Mapping[str, Any], key: str) -> str | None:
    value = (side.get("outputs") or {}).get(key)
    return value if isinstance(value, str) else None


def with_hooks(spec: cdi.Spec, strategy: cdi.Strategy) -> cdi.Spec:
    """The spec with its NVIDIA hooks run as `strategy` has them."""

    def hook(found: cdi.Hook | None) -> cdi.Hook | None:
        if found is None or found.path not in (CDI_HOOK, CDI_HOOK_REAL, NVIDIA_CTK):
            return found
        path = strategy.executable or CDI_HOOK
        words = found.args[found.args.index(hook_command(found)) :] if hook_command(found) else found.args[1:]
        lead = ("nvidia-ctk", "hook") if path == NVIDIA_CTK else ("nvidia-cdi-hook",)
        return replace(found, path=path, args=(*lead, *words))

    def edits(found: cdi.ContainerEdits) -> cdi.ContainerEdits:
        return replace(found, hooks=tuple(map(hook, found.hooks)))

    devices = tuple(replace(device, container_edits=edits(device.container_edits)) for device in spec.devices)
    return replace(spec, devices=devices, container_edits=edits(spec.container_edits))
