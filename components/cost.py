"""What a changed machine config costs, told at preview from what was last applied; pure."""

from __future__ import annotations

from typing import Any

from components.dynamic import DRIFT, whole
from components.machine_drift import RESTARTING
from components.restart_allowed import forbids
from components.retiring import only_retires
from talos_gpu.talos.footprint import reasons_between
from talos_gpu.talos.reboot import By, restart_due
from talos_gpu.talos.releases import strategy_for

FIRST = (
    "nothing was applied from here yet, so whether the first `up` restarts the node is not known: `up` asks the node "
    "by a dry run, and refuses a restart that the stack forbids before anything is applied"
)
_UNKNOWN = (
    "whether this restarts the node is not known (what was last applied cannot be compared with it): `up` asks the "
    "node by a dry run before anything is applied"
)


def of_change(olds: dict[str, Any], news: dict[str, Any]) -> str:
    """Return the sentence for a change of MachineState's inputs; "" where the machine config stays as it is."""
    before, after = whole(olds), whole(news)
    if before.get("config_sha256") == after.get("config_sha256"):
        return _of_drift(before.get(DRIFT), after)
    footprints = before.get("footprint") or {}, after.get("footprint") or {}
    reasons = reasons_between(*footprints, strategy_for(after["release"])) if all(footprints) else None
    if reasons is None:
        return _UNKNOWN
    if not reasons:
        return "the machine config changes on the running machine, without a restart"
    why = "; ".join(reason.sentence for reason in reasons)
    if after.get("apply_mode") == "staged":
        return f"this takes effect with the next boot, which nobody asks for (machine.apply_mode: staged): {why}"
    if forbids(after):
        return f"this needs a restart, which the stack forbids; `up` will refuse it: {why}"
    asked = "" if reasons[0].by is By.APPLY else ", which the apply does not make by itself"
    later = ", after the worker has come up on the new method" if only_retires(before, after) else ""
    return f"this restarts the node and with it the worker{asked}: {why}{later}{_within(after)}{_before(after)}"


def of_restart(olds: dict[str, Any], news: dict[str, Any]) -> str:
    """Return the sentence for a restart that MachineReady's or MachineRestarted's inputs ask for; "" where none is due.

    Told also where MachineState has nothing to do: an `up` before has staged the config and failed.
    """
    after = whole(news)
    if not restart_due(whole(olds), after):
        return ""
    why = "its machine config is staged, and holds from the next boot on"
    if forbids(after):
        return f"this needs a restart, which the stack forbids; `up` will refuse it: {why}"
    return f"this restarts the node and with it the worker: {why}{_within(after)}{_before(after)}"


def asked_for(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Return why a change holds only after a restart that the apply does not make (from 1.14 on), a sentence each.

    Empty where what was last applied cannot be compared with it.
    """
    footprints = before.get("footprint") or {}, after.get("footprint") or {}
    reasons = reasons_between(*footprints, strategy_for(after["release"])) or ()
    return [reason.sentence for reason in reasons if reason.by is By.REQUEST]


def _of_drift(drift: object, props: dict[str, Any]) -> str:
    """The sentence for what refresh has found, which the same config makes hold again."""
    causes = sorted(RESTARTING & drift.keys()) if isinstance(drift, dict) else []
    if not causes or props.get("apply_mode") == "staged":
        return ""
    if forbids(props):
        return f"mending the drift needs a restart, which the stack forbids; `up` will refuse it: {', '.join(causes)}"
    return f"mending the drift restarts the node and with it the worker: {', '.join(causes)}{_before(props)}"


def _within(props: dict[str, Any]) -> str:
    return ". `up` refuses it outside of machine.windows" if props.get("windows") else ""


def _before(props: dict[str, Any]) -> str:
    how = props.get("before_restart") or {}
    if not how.get("cordon"):
        return ""
    deadline = f"at most {how['encode_deadline_s']} s"
    after = "then goes on" if how["on_deadline"] == "continue" else "then stops without a restart"
    drained = ", drains the node" if how["drain"] else ""
    return f". Before it `up` cordons the node, waits until no encode runs ({deadline}, {after}){drained}"
