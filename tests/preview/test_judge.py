"""What restarts the worker, read from the engine's words of the resource that waits for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pytest

from talos_gpu.preview import judge
from talos_gpu.preview.events import UNKNOWN, Said, Step
from talos_gpu.preview.judge import worker_reasons
from talos_gpu.preview.machine import APPLY
from talos_gpu.preview.markdown import markdown
from talos_gpu.preview.model import Reboot
from talos_gpu.rollout.pulumi_cli import Pulumi
from tests.preview.previews import busy, preview, stack
from tests.preview.test_machine import settings

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


def machine_step(kind: str, old: dict[str, Any], reboot: str) -> Step:
    about = {"token": "b", "reboot": reboot, "apply_mode": "auto"}
    op = "update" if old else "create"
    return Step(op, f"pulumi-python:dynamic/talos:{kind}", "x", {"inputs": old} if old else {}, {"inputs": about}, ())


@pytest.mark.parametrize("kind", ["MachineReady", "MachineRestarted"])
@pytest.mark.parametrize(
    ("old", "reboot", "verdict"),
    [
        ({"token": "a"}, "request", "yes"),
        ({}, "request", "yes"),
        ({"token": "b"}, "request", "no"),
        ({"token": "a"}, "none", "no"),
        ({"token": "a"}, UNKNOWN, "no"),
    ],
    ids=["left", "left by the first update", "made", "none due", "the apply's own to tell"],
)
def test_a_restart_that_an_update_before_has_left_is_told(
    kind: str, old: dict[str, Any], reboot: str, verdict: str, tmp_path: Path
) -> None:
    said = Said(steps=[machine_step(kind, old, reboot)])
    pulumi = Pulumi(tmp_path, tmp_path, "pulumi", {})
    found = judge.shown(pulumi, "a", settings(tmp_path), said, STATE)
    assert (found.reboot.verdict, found.restarts) == (
        (verdict, ("media/worker (with the node)",)) if verdict == "yes" else (verdict, ())
    )
    forbidden = judge.shown(pulumi, "a", settings(tmp_path, reboot="forbid"), said, STATE)
    assert forbidden.reboot.verdict == ("refused" if verdict == "yes" else "no")


STATE: dict[str, Any] = {
    "resources": [
        {
            "type": "kubernetes:apps/v1:Deployment",
            "urn": "urn:pulumi:a::b::kubernetes:apps/v1:Deployment::a-tdarr",
            "inputs": {"metadata": {"namespace": "media", "name": "worker"}},
        }
    ]
}


@pytest.mark.parametrize(
    ("verdict", "restarts"),
    [
        ("yes", ["media/worker (with the node)"]),
        ("possible", ["media/worker (with the node)"]),
        ("refused", []),
        ("no", []),
    ],
)
def test_a_worker_restarts_with_its_node_where_the_machine_config_alone_changes(
    verdict: Literal["yes", "possible", "refused", "no"], restarts: list[str]
) -> None:
    base_alone = [Step("update", APPLY, "x", {"inputs": {}}, {"inputs": {}}, ("machineConfigurationInput",))]
    assert judge.restarted(base_alone, Reboot(verdict=verdict), STATE) == restarts
    worker = Step("update", judge._DEPLOYMENT, "w", STATE["resources"][0], {}, ("spec.template.spec",))
    assert judge.restarted([*base_alone, worker], Reboot(verdict=verdict), STATE) == ["media/worker"]


def test_the_comment_says_them_beside_the_reboot() -> None:
    told = stack("a", changes=busy("a", 1).changes, restart_reasons=("tdarr.image", "cdi.runtime"))
    said = markdown(preview(told))
    assert "**Reboot: no**.\n\n**Worker restarts**: tdarr.image; cdi.runtime.\n" in said
