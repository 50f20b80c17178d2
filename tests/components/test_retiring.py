"""The restart that takes the old method's containerd part away comes after the new worker."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from components.access import Access
from components.machine_restarted import MachineRestartedProvider
from components.machine_state import want_of
from components.retiring import only_retires
from talos_gpu.talos.footprint import footprint
from talos_gpu.talos.machine_config import lacking
from talos_gpu.talos.render import render
from tests.components.providing import cluster_of, props, providing
from tests.components.test_machine_ready import BOOT_FILE, rebooting
from tests.components.test_machine_state import inputs, looked, node_with
from tests.talos.asking import AUTHORITY
from tests.talos.configs import BARE
from tests.talos.fake_talos import serving
from tests.talos.test_facts import BOOT, gpu_node

OTHER = BARE.replace("machine:\n", "machine:\n  env: {a: b}\n", 1)


def applied(method: str, base: str = BARE) -> dict[str, Any]:
    """Inputs of MachineState of which the cost is told."""
    about = {**inputs(1), "method": method}
    return {"method": method, "release": "v1.11.1", "footprint": footprint(config(about, base))}


def config(about: dict[str, Any], base: str) -> str:
    return render(base, lacking(base, want_of(about)).patches)


@pytest.mark.parametrize(
    ("old", "new", "waits"),
    [
        (applied("spec"), applied("jit"), True),
        (applied("spec"), applied("sysctl"), True),
        (applied("jit"), applied("spec"), False),
        (applied("spec"), applied("spec"), False),
        (applied("jit"), applied("sysctl"), False),
        (applied("spec"), applied("jit", OTHER), False),
        ({**applied("spec"), "footprint": {}}, applied("jit"), False),
        ({}, applied("jit"), False),
    ],
    ids=["to jit", "to sysctl", "back", "same", "no part", "another key too", "not comparable", "first"],
)
def test_only_the_going_of_the_part_waits_for_the_worker(old: dict[str, Any], new: dict[str, Any], waits: bool) -> None:
    assert only_retires(old, new) is waits


def test_the_restart_is_put_off_and_kept_until_it_is_made(tmp_path: Path) -> None:
    before = {**looked(tmp_path, node_with()), "footprint": applied("spec")["footprint"]}
    jit = {"method": "jit", "footprint": applied("jit")["footprint"], "config_sha256": sha_of("jit")}
    after = looked(tmp_path, node_with(), before, **jit)
    assert (after["mode"], after["reboot"], after["reboot_after"]) == ("staged", "none", "request")
    again = looked(tmp_path, node_with(), after, **jit)
    assert (again["token"], again["reboot_after"]) == (after["token"], "request")


def sha_of(method: str) -> str:
    from components.machine_state import digest

    return digest(config({**inputs(1), "method": method}, BARE))


def after_the_worker(reboot: str, **changes: Any) -> dict[str, Any]:
    return {"reboot": reboot, "boot_id_ready": "as MachineReady saw it", "pending": False, **changes}


def test_without_a_restart_nothing_is_asked() -> None:
    provider = MachineRestartedProvider()
    provider._access = Access("/nowhere", "/nowhere", "")
    outs = asyncio.run(provider._apply(props(1, **after_the_worker("none"))))
    assert (outs["boot_id"], outs["reboot_pending"]) == ("as MachineReady saw it", False)
    staged = asyncio.run(provider._apply(props(1, **after_the_worker("request", apply_mode="staged", pending=True))))
    assert staged["reboot_pending"] is True


def test_the_restart_that_was_put_off_is_made(tmp_path: Path) -> None:
    node, api = gpu_node(), cluster_of()
    node.files[BOOT_FILE] = b"old\n"

    async def conversation() -> dict[str, Any]:
        async with serving(node, AUTHORITY) as port, providing(tmp_path, api) as ready:
            provider = MachineRestartedProvider()
            provider._access = ready._access
            following = rebooting(node)
            outs = await provider._apply(props(port, **after_the_worker("request", boot_id_before="old", method="jit")))
            await following
            return outs

    assert asyncio.run(conversation())["boot_id"] == BOOT
    assert node.calls.count("reboot") == 1
