"""Ending a rollout from outside: asking the process that works on it, or giving up one that no process works on."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator

from talos_gpu.rollout import lock
from talos_gpu.rollout.errors import FleetLocked, NothingToResume
from talos_gpu.rollout.fleet import Fleet
from talos_gpu.rollout.journal import Journal
from talos_gpu.rollout.records import Final, Kind, Outcome, Record, final
from talos_gpu.rollout.store import Store


def ask_to_stop(store: Store) -> lock.Holder | None:
    """Ask the process that works on this fleet to finish what runs and stop; None if there is none.

    Raises FleetLocked if it is on another machine, or nobody knows which it is.
    """
    if not lock.is_held(store.lock):
        return None
    found = lock.holder(store.lock)
    if found is None or found.host != socket.gethostname():
        raise FleetLocked(store.lock, lock.describe(found), store.command)
    os.kill(found.pid, signal.SIGINT)
    return found


def abort(store: Store) -> Fleet:
    """Give up a rollout that no process works on: what has no end gets `not-started` or `interrupted`.

    Raises FleetLocked if one does (then it must be asked to stop), NothingToResume if there is none.
    """
    with store.locked("rollout abort"):
        fleet = store.fleet(store.running_plan())
        if not fleet.begun or fleet.outcome is not None:
            raise NothingToResume("no rollout is unfinished", store.command)
        with Journal(store.journal) as journal:
            for record in _records(fleet, time.time()):
                journal.write(record)
                fleet.apply(record)
        store.keep_good(fleet.plan)
        return fleet


def _records(fleet: Fleet, now: float) -> Iterator[Record]:
    yield Record(Kind.STOP, now, reason="aborted", cause="given up by hand")
    for entry in list(fleet.entries.values()):
        if entry.final is None:
            begun = fleet.is_down(entry.name)
            state = Final.INTERRUPTED if begun else Final.NOT_STARTED
            cause = "its update was begun: look at it with `pulumi preview`" if begun else "the rollout was aborted"
            yield final(now, entry.name, state, "aborted", cause)
    yield Record(Kind.FINISHED, now, details={"outcome": Outcome.ABORTED.value})
