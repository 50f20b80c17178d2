"""What a preview says of a changed machine config."""

from __future__ import annotations

from typing import Any

import pytest

from components.cost import of_change, of_restart
from talos_gpu.settings.machine import BeforeRestart
from talos_gpu.talos.footprint import footprint
from talos_gpu.talos.machine_config import lacking
from talos_gpu.talos.render import render
from tests.talos.configs import BARE, SPEC

RENDERED = render(BARE, lacking(BARE, SPEC).patches)
SYSCTL = BARE.replace("machine:\n", "machine:\n  sysctls: {a.b: '1'}\n", 1)
KEYS = (
    "machine.files: /etc/cri/conf.d/20-customization.part (files are written at boot); "
    "machine.udev (udev rules are read at boot)"
)


def inputs(config: str, **changes: Any) -> dict[str, Any]:
    return {
        "config_sha256": str(hash(config)),
        "footprint": footprint(config),
        "release": "v1.11.1",
        "apply_mode": "auto",
        "reboot_policy": "allow",
        "before_restart": {**BeforeRestart().model_dump(), "images": []},
        **changes,
    }


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        (inputs(BARE), inputs(BARE), ""),
        (inputs(BARE), inputs(SYSCTL), "the machine config changes on the running machine, without a restart"),
        (
            inputs(BARE),
            inputs(RENDERED),
            (
                f"this restarts the node and with it the worker: {KEYS}. Before it `up` cordons the node, waits until "
                "no encode runs (at most 1800 s, then stops without a restart)"
            ),
        ),
        (
            inputs(BARE),
            inputs(RENDERED, before_restart={"cordon": False}),
            f"this restarts the node and with it the worker: {KEYS}",
        ),
        (
            inputs(BARE),
            inputs(RENDERED, before_restart={"cordon": False}, windows=[{"opens": "22:00", "closes": "04:00"}]),
            f"this restarts the node and with it the worker: {KEYS}. `up` refuses it outside of machine.windows",
        ),
        (
            inputs(BARE),
            inputs(RENDERED, apply_mode="staged"),
            f"this takes effect with the next boot, which nobody asks for (machine.apply_mode: staged): {KEYS}",
        ),
        (
            inputs(BARE),
            inputs(RENDERED, reboot_policy="forbid"),
            f"this needs a restart, which the stack forbids; `up` will refuse it: {KEYS}",
        ),
    ],
    ids=["same", "live", "restart", "restart at once", "windows", "staged", "forbidden"],
)
def test_the_cost_names_the_keys(old: dict[str, Any], new: dict[str, Any], sentence: str) -> None:
    assert of_change(old, new) == sentence


def test_what_cannot_be_known_is_said() -> None:
    old = inputs(BARE, footprint={})
    assert of_change(old, inputs(RENDERED)).startswith("whether this restarts the node is not known")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"reboot_policy": "forbid"},
            "this needs a restart, which the stack forbids; `up` will refuse it: its machine",
        ),
        ({"windows": [{"opens": "22:00"}]}, "on. `up` refuses it outside of machine.windows. Before it `up` cordons"),
    ],
)
def test_a_restart_that_is_left_is_told_with_what_the_stack_allows(changes: dict[str, Any], words: str) -> None:
    assert words in of_restart({"token": "a"}, {**inputs(BARE), "token": "b", "reboot": "request", **changes})
