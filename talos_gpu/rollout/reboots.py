"""Whether an update restarts the node, as far as its preview tells."""

from __future__ import annotations

from collections.abc import Sequence

from talos_gpu.rollout.plan import Change, Reboot
from talos_gpu.settings import Settings

_APPLY = "talos:machine/configurationApply:ConfigurationApply"
READY = "pulumi-python:dynamic/talos:MachineReady"
"""Type of the resource in the state that saw the machine config hold."""
AFTER = "pulumi-python:dynamic/talos:MachineRestarted"
"""Of the restart that waited for the worker: it is the later one."""


def reboot_of(changes: Sequence[Change], settings: Settings | None) -> Reboot:
    """Whether an update may restart the node. A preview never asks the node, so it is never known for certain."""
    # these two make a restart that an update before has left, and are updated for other reasons too
    left = any(change.type in {READY, AFTER} and change.op == "update" for change in changes)
    if not left and not any(change.type == _APPLY for change in changes):
        return "no"
    if settings is None:
        return "unknown"
    if settings.machine.reboot == "forbid":
        return "forbidden"
    return "possible" if settings.machine.apply_mode == "auto" else "no"
