"""Whether the stack lets its node restart now: `machine.reboot` and `machine.windows`."""

from __future__ import annotations

import json
import time

from components.dynamic import Props
from talos_gpu.errors import TalosGpuError

APPLIED_NOTHING = "nothing was applied"
STAYS_STAGED = "the config stays staged, it was not restarted"


class RebootForbidden(TalosGpuError):
    """The node would have to restart, and the stack forbids it; `so` says what was done instead."""

    def __init__(self, node: str, reason: str, said: str = "machine.reboot: forbid", so: str = APPLIED_NOTHING) -> None:
        super().__init__(
            f"{node} would have to restart: {reason}; the stack says {said}, and {so}",
            remedy="set machine.reboot: allow and machine.apply_mode: auto, or machine.apply_mode: staged and restart "
            "the node when it suits",
        )


class OutsideWindow(TalosGpuError):
    """The node would have to restart, and no maintenance window is open; `so` says what was done instead."""

    def __init__(self, node: str, reason: str, opens: str, so: str = APPLIED_NOTHING) -> None:
        super().__init__(
            f"{node} would have to restart: {reason}; no window of machine.windows is open before {opens}, and {so}",
            remedy="run `pulumi up` then, or set machine.apply_mode: staged and restart the node when it suits",
        )


def forbids(props: Props) -> str:
    """The setting by which the stack forbids a restart; "" where it allows one, as states of releases before say."""
    if props.get("reboot_policy") == "forbid":
        return "machine.reboot: forbid"
    return "machine.apply_mode: no_reboot" if props.get("apply_mode") == "no_reboot" else ""


def require_allowed(props: Props, reason: str, so: str = APPLIED_NOTHING) -> None:
    """Raise RebootForbidden or OutsideWindow, with `reason`, where the stack does not let its node restart now."""
    if said := forbids(props):
        raise RebootForbidden(props["node"], reason, said, so)
    if opens := _closed(props):
        raise OutsideWindow(props["node"], reason, opens, so)


def _closed(props: Props) -> str:
    """Until when the stack's maintenance windows are closed; "" where one is open or there is none."""
    if not props.get("windows"):
        return ""
    from talos_gpu.rollout.windows import closed
    from talos_gpu.settings.windows import Window

    return closed([Window.model_validate_json(json.dumps(window)) for window in props["windows"]], time.time())
