"""What restarts the worker, read from the engine's words of the resource that waits for it."""

from __future__ import annotations

from typing import Any

import pytest

from talos_gpu.preview.events import UNKNOWN, Step
from talos_gpu.preview.judge import worker_reasons
from talos_gpu.preview.markdown import markdown
from tests.preview.previews import busy, preview, stack

TEMPLATE = {"tdarr.image": "a:1", "cdi.runtime": "nvidia-cdi"}
OLD: dict[str, Any] = {"template": TEMPLATE, "spec_sha256": "aa"}
IMAGE = {**OLD, "template": {**TEMPLATE, "tdarr.image": "a:2"}}


def step(new: dict[str, Any], op: str = "update") -> Step:
    return Step(op, "pulumi-python:dynamic/talos:WorkerRestart", "x", {"inputs": OLD}, {"inputs": new}, ())


@pytest.mark.parametrize(
    ("step", "reasons"),
    [
        (None, ()),
        (step(IMAGE), ("tdarr.image",)),
        (step(IMAGE, "create"), ()),
        (step({**OLD, "spec_sha256": "bb"}), ("the CDI spec, which is another one",)),
        (step({**OLD, "spec_sha256": UNKNOWN}), ("the CDI spec, if it becomes another one (it is made anew)",)),
    ],
)
def test_the_reasons_are_the_settings_that_moved(step: Step | None, reasons: tuple[str, ...]) -> None:
    assert worker_reasons(step) == reasons


def test_the_comment_says_them_beside_the_reboot() -> None:
    told = stack("a", changes=busy("a", 1).changes, restart_reasons=("tdarr.image", "cdi.runtime"))
    said = markdown(preview(told))
    assert "**Reboot: no**.\n\n**Worker restarts**: tdarr.image; cdi.runtime.\n" in said
