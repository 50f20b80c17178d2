"""What restarts a node's worker: the parts of its pod, by the setting or the fact that each comes from; pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SPEC = "spec_sha256"
"""Key of the CDI spec's digest among a worker's inputs: "" where there is no spec of ours, absent while not known."""
TEMPLATE = "template"
"""Key of the pod's parts: text by name, such as `tdarr.image`."""


def restart_reasons(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[str, ...]:
    """Return why going from one worker to another restarts it, the names of the parts that differ; () if it does not.

    Both are inputs with TEMPLATE and SPEC. A digest that is not known yet counts as another one, and is said so.
    """
    before, after = old.get(TEMPLATE) or {}, new.get(TEMPLATE) or {}
    moved = [name for name in sorted(before.keys() | after.keys()) if before.get(name) != after.get(name)]
    if new.get(SPEC) is None:
        moved.append("the CDI spec, if it becomes another one (it is made anew)")
    elif old.get(SPEC) != new.get(SPEC):
        moved.append("the CDI spec, which is another one" if new[SPEC] else "no CDI spec of the stack any more")
    return tuple(moved)


def restart_sentence(reasons: tuple[str, ...], before_restart: Mapping[str, Any]) -> str:
    """For a preview; "" without reasons."""
    if not reasons:
        return ""
    said = f"this restarts the worker: {'; '.join(reasons)}"
    if not before_restart.get("cordon"):
        return f"{said}. An encode that runs is ended"
    goes_on = before_restart["on_deadline"] == "continue"
    after = "then restarts it all the same" if goes_on else "then leaves the worker as it is"
    return (
        f"{said}. Before it `up` waits until no encode runs (at most {before_restart['encode_deadline_s']} s, {after})"
    )
