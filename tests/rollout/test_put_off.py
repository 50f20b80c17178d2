"""A done stack whose own proof (`verify: true`) a busy encoder had put off: a resume does not call it drifted."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from talos_gpu.rollout.processes import Processes
from talos_gpu.rollout.pulumi_cli import Pulumi
from talos_gpu.rollout.records import Step
from talos_gpu.rollout.runner import Ended
from talos_gpu.rollout.told import UNEXPECTED

PROGRAM = """#!{python}
import pathlib, shutil, sys

folder = pathlib.Path(sys.argv[0]).parent
shutil.copy(folder / "events", sys.argv[sys.argv.index("--event-log") + 1])
print((folder / "says").read_text())
sys.exit(1)
"""


@pytest.fixture
def recorded(fixtures: Path) -> dict[str, Any]:
    """The engine's own event of a `preview --expect-no-changes` on a lab node, after an `up` beside a busy encoder."""
    event: dict[str, Any] = json.loads((fixtures / "rollout/put-off.events.jsonl").read_text())
    return event


def rechecked(folder: Path, *events: dict[str, Any], says: str = f"error: {UNEXPECTED}") -> Ended:
    program = folder / "pulumi"
    program.write_text(PROGRAM.format(python=sys.executable))
    program.chmod(0o755)
    (folder / "events").write_text("".join(json.dumps(event) + "\n" for event in events))
    (folder / "says").write_text(says)
    pulumi = Pulumi(folder, folder, str(program), {})
    runner = Processes(pulumi, folder, (), lambda _: 0.0, 0.0, refresh=False, roll_back=lambda _: pulumi)
    runner.begin("lab", Step.RECHECK)
    while not isinstance(ended := runner.wait(None), Ended):
        pass
    return ended


def test_a_proof_that_was_put_off_is_no_drift(tmp_path: Path, recorded: dict[str, Any]) -> None:
    ended = rechecked(tmp_path, recorded)
    assert (ended.ok, ended.details["unproven"]) == (True, ["lab-1-verified"])


def disproven(metadata: dict[str, Any]) -> None:
    metadata["old"]["outputs"]["drift"] = ["hevc_nvenc: The encoder began and then failed."]


def another_spec(metadata: dict[str, Any]) -> None:
    metadata["new"]["inputs"]["spec_sha256"] = "0"


def another_resource(metadata: dict[str, Any]) -> None:
    metadata["type"] = "kubernetes:apps/v1:Deployment"


@pytest.mark.parametrize("changed", [disproven, another_spec, another_resource])
def test_anything_else_is(tmp_path: Path, recorded: dict[str, Any], changed: Callable[[dict[str, Any]], None]) -> None:
    changed(recorded["resourcePreEvent"]["metadata"])
    ended = rechecked(tmp_path, recorded)
    assert (ended.ok, ended.reason) == (False, "drifted")
    assert ended.cause == "it was done and now differs: update lab-1-verified"


def test_a_preview_that_failed_besides_is_a_failure(tmp_path: Path, recorded: dict[str, Any]) -> None:
    ended = rechecked(tmp_path, recorded, says="error: the node is gone")
    assert (ended.ok, ended.reason) == (False, "recheck-failed")
