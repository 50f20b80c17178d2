"""Waiting for readiness and for deletion, with a deadline that names what was last seen."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from lab.engine.kubernetes import diagnosis
from lab.engine.kubernetes.client import Cluster
from lab.engine.kubernetes.errors import ApiFailed, NotReady
from lab.engine.kubernetes.objects import api_version_of, kind_of, metadata, name_of
from lab.engine.kubernetes.readiness import State, state_of
from lab.engine.kubernetes.wire import Object

POLL = 0.3
"""Seconds between two looks."""

DELETION_TIMEOUT = 300.0
"""Seconds; await.go's default for a deletion."""

Report = Callable[[str], None]


def until_ready(cluster: Cluster, obj: Object, timeout: float, cancelled: threading.Event, report: Report) -> Object:
    """Wait until the object is ready; returns it as it is then.

    Raises:
        NotReady: it failed, was not ready in `timeout` seconds, or the engine cancelled. The object stays.
    """
    deadline = time.monotonic() + timeout
    live, shown = obj, ""
    seen: list[str] = []
    while True:
        state = state_of(live, cluster)
        if state.ready:
            return live
        ended = _ended(obj, state, cancelled, deadline)
        if ended:
            raise NotReady(ended, live, list(dict.fromkeys([*_why(cluster, live, state), *seen])))
        if kind_of(obj) == "Job":
            seen += [line for line in diagnosis.of_starting_pods(cluster, live) if line not in seen]
        if state.waiting != shown:
            shown = state.waiting
            report(shown)
        cancelled.wait(POLL)
        live = cluster.get(obj)


def _ended(obj: Object, state: State, cancelled: threading.Event, deadline: float) -> str:
    """Why it is not waited for any longer, as the official plugin says it; empty if it is."""
    if state.failed:
        return f"Resource '{name_of(obj)}' was created but failed to initialize"
    if cancelled.is_set():
        return f'Resource operation was cancelled for "{name_of(obj)}"'
    return f"'{name_of(obj)}' timed out waiting to be Ready" if time.monotonic() > deadline else ""


def look(cluster: Cluster, live: Object) -> None:
    """Look once, without waiting.

    Raises:
        NotReady: it is not ready now.
    """
    state = state_of(live, cluster)
    if not state.ready:
        message = f"Resource '{name_of(live)}' was created but failed to initialize"
        raise NotReady(message, live, _why(cluster, live, state))


def until_gone(cluster: Cluster, obj: Object, timeout: float, cancelled: threading.Event) -> None:
    """Wait until the object is deleted.

    Raises:
        NotReady: it is still there; the finalizers that hold it are named.
    """
    deadline = time.monotonic() + timeout
    while True:
        try:
            live = cluster.get(obj)
        except ApiFailed as fault:
            if fault.code == 404:
                return
            raise
        if cancelled.is_set():
            raise NotReady(f'Resource operation was cancelled for "{name_of(obj)}"', live, [])
        if time.monotonic() > deadline:
            what = f'{api_version_of(obj)}/{kind_of(obj)} "{name_of(obj)}"'
            holding = ", ".join(metadata(live).get("finalizers") or []) or "none"
            reason = f"Timed out waiting for deletion of {what} (finalizers: {holding})"
            raise NotReady(f"'{name_of(obj)}' timed out waiting to be Ready", live, [reason])
        cancelled.wait(POLL)


def _why(cluster: Cluster, live: Object, state: State) -> list[str]:
    lines = [
        *state.problems,
        *([] if state.problems and state.failed else [state.waiting]),
        *diagnosis.of_pods(cluster, live),
    ]
    return list(dict.fromkeys(line for line in lines if line))
