"""An update that a controller's write got in the way of is tried again, a few times."""

from __future__ import annotations

import sys
from pathlib import Path

from talos_gpu.rollout.processes import Processes
from talos_gpu.rollout.pulumi_cli import Pulumi
from talos_gpu.rollout.records import Step
from talos_gpu.rollout.runner import Ended, Moved
from talos_gpu.rollout.told import CONFLICT

PROGRAM = """#!{python}
import pathlib, sys

tries = pathlib.Path(sys.argv[0]).with_name("tries")
with tries.open("a") as file:
    file.write("x")
if len(tries.read_text()) <= {conflicts}:
    print("error: Operation cannot be fulfilled: {words}")
    sys.exit(255)
"""


def updated(folder: Path, conflicts: int) -> tuple[Ended, int]:
    """How an update ends that meets so many conflicts, and how often it was tried."""
    program = folder / "pulumi"
    program.write_text(PROGRAM.format(python=sys.executable, conflicts=conflicts, words=CONFLICT))
    program.chmod(0o755)
    pulumi = Pulumi(folder, folder, str(program), {})
    asked: list[str] = []

    def moved(stack: str, _step: Step) -> Moved:
        asked.append(stack)
        return Moved(("its state moved",) if len(asked) > 1 else ())  # as it would look after our own first try

    runner = Processes(pulumi, folder, (), lambda _: 0.0, 0.0, refresh=False, roll_back=lambda _: pulumi, moved=moved)
    runner.begin("a", Step.UPDATE)
    while not isinstance(ended := runner.wait(None), Ended):
        pass
    return ended, len((folder / "tries").read_text())


def test_a_conflict_of_writes_is_tried_again(tmp_path: Path) -> None:
    ended, tries = updated(tmp_path, 1)
    assert (ended.ok, tries) == (True, 2), ended


def test_one_that_stays_is_a_failure_in_the_servers_words(tmp_path: Path) -> None:
    ended, tries = updated(tmp_path, 100)
    assert (ended.ok, ended.reason, tries) == (False, "update-failed", 3)
    assert CONFLICT in ended.cause
