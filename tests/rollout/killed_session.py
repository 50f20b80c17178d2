"""Run or resume a rollout, and kill this process with SIGKILL right after the first record of a kind not seen before.

A program of its own: `killed_session.py run|resume`, in the project's folder.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from talos_gpu.rollout.fleet import Fleet
from talos_gpu.rollout.journal import read
from talos_gpu.rollout.pulumi_cli import Pulumi
from talos_gpu.rollout.records import EFFECTS, Kind, Record
from talos_gpu.rollout.runner import Said
from talos_gpu.rollout.session import Session
from talos_gpu.rollout.store import Store


def key(record: Record) -> tuple[str, ...]:
    return (record.kind.value, record.stack, record.step.value if record.step else "")


class Killer:
    """Sees every record right after it is on the disk, before anything that follows from it is done."""

    def __init__(self, seen: set[tuple[str, ...]]) -> None:
        self.seen = seen

    def record(self, fleet: Fleet, record: Record) -> None:
        del fleet
        journalled = record.kind is not Kind.STARTED or record.step in EFFECTS
        if journalled and record.kind is not Kind.RESUMED and key(record) not in self.seen:
            os.kill(os.getpid(), signal.SIGKILL)

    def said(self, fleet: Fleet, said: Said) -> None:
        """Lines are in no journal."""


def main() -> None:
    project = Path.cwd()
    store = Store.of(Path(os.environ["TALOS_GPU_ROLLOUT_STATE"]), "trial", "four")
    seen = {key(record) for record in read(store.journal)}
    session = Session(store, Pulumi.find(project, project), project / "rollout.yaml", [Killer(seen)])
    if sys.argv[1] == "run":
        session.run()
    else:
        session.resume()


main()
