"""MachineState: what it refuses before anything is applied, what it decides, and which upgrades it sees."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.access import Access
from components.machine_state import (
    MachineStateProvider,
    ReleaseDiffers,
    WouldRemove,
    _reboot,
    digest,
)
from components.restart_allowed import OutsideWindow, RebootForbidden
from talos_gpu.errors import TalosGpuError
from talos_gpu.talos.effective import Kind
from talos_gpu.talos.facts import LOADED_MODULES, UDEV_RULES
from talos_gpu.talos.footprint import footprint
from talos_gpu.talos.machine_config import LABEL, lacking, wanted
from talos_gpu.talos.messages import ApplyMode, ApplyResult
from talos_gpu.talos.part import PART_PATH
from talos_gpu.talos.releases import Method, strategy_for
from talos_gpu.talos.removal import MACHINE_CONFIGS
from talos_gpu.talos.render import render
from tests.components.providing import NODE, PATH, cluster_of, window
from tests.kube import fake_api
from tests.kube.fake_api import Api
from tests.talos.asking import AUTHORITY
from tests.talos.configs import BARE, SPEC
from tests.talos.fake_talos import ADDRESS, Node, serving
from tests.talos.pki import talosconfig
from tests.talos.test_facts import BOOT, gpu_node

RENDERED = render(BARE, lacking(BARE, SPEC).patches)


def node_with(live: str = BARE) -> Node:
    node = gpu_node()
    node.resources[MACHINE_CONFIGS, "persistent"] = live
    return node


def looked(
    folder: Path,
    node: Node,
    olds: dict[str, Any] | None = None,
    cluster: Api | None = None,
    base: str = BARE,
    **changes: Any,
) -> dict[str, Any]:
    (folder / "base.yaml").write_text(base)
    (folder / "talosconfig").write_text(talosconfig(AUTHORITY, AUTHORITY.client("os:admin")))

    async def conversation() -> dict[str, Any]:
        async with serving(node, AUTHORITY) as port, fake_api.serving(cluster or cluster_of(), folder) as kubeconfig:
            provider = MachineStateProvider()
            provider._access = Access(str(folder / "talosconfig"), str(kubeconfig), str(folder / "base.yaml"))
            props = {**inputs(port), **changes}
            if olds is not None and changes.get("refresh"):
                return await provider._drift({**olds, **inputs(port)})
            return await provider._look(props, olds or {})

    return asyncio.run(conversation())


def inputs(port: int) -> dict[str, Any]:
    return {
        "node": NODE,
        "address": ADDRESS,
        "endpoint": f"{ADDRESS}:{port}",
        "release": "v1.11.1",
        "talos": "v1.11.1",
        "method": "spec",
        "default_runtime": False,
        "apply_mode": "auto",
        "config_sha256": digest(RENDERED),
        "reboot_policy": "allow",
        "allow_removal": False,
    }


def test_a_config_that_restarts_is_staged_and_the_restart_asked_for(tmp_path: Path) -> None:
    outs = looked(tmp_path, node_with())
    assert (outs["mode"], outs["reboot"], outs["boot_id"]) == ("staged", "request", BOOT)
    assert outs["token"]


@pytest.mark.parametrize("changes", [{"reboot_policy": "forbid"}, {"apply_mode": "no_reboot"}])
def test_a_forbidden_restart_is_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    [(key, value)] = changes.items()
    said = f"the stack says machine.{key.removesuffix('_policy')}: {value}, and nothing was applied"
    refused(tmp_path, node_with(), RebootForbidden, said, **changes)


ENV = BARE.replace("machine:\n", "machine:\n  env: {a: b}\n", 1)


def env_added(folder: Path, release: str, **changes: Any) -> dict[str, Any]:
    """What is decided where machine.env has come since the last apply, to a node whose apply restarts nothing."""
    node = node_with()
    node.restarts = False
    about = {"release": release, "method": "native", **changes}
    want = wanted(strategy_for(release), Method.NATIVE)
    before, after = (render(base, lacking(base, want).patches) for base in (BARE, ENV))
    olds = {"footprint": footprint(before), "config_sha256": digest(before)}
    return looked(folder, node, olds, base=ENV, config_sha256=digest(after), footprint=footprint(after), **about)


def test_what_only_a_boot_of_1_14_brings_about_is_asked_for_once(tmp_path: Path) -> None:
    outs = env_added(tmp_path, "v1.14.0")
    assert (outs["reboot"], outs["mode"], outs["reboot_expected"]) == ("request", "auto", True)
    staged = env_added(tmp_path, "v1.14.0", apply_mode="staged")
    assert (staged["reboot"], staged["reboot_expected"]) == ("none", True)
    assert env_added(tmp_path, "v1.13.0")["reboot"] == "none", "up to 1.13 the node's dry run tells"


@pytest.mark.parametrize("changes", [{"reboot_policy": "forbid"}, {"apply_mode": "no_reboot"}])
def test_a_restart_of_1_14_that_is_forbidden_is_refused_with_its_key(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(RebootForbidden, match=r"machine\.env \(Talos does not change it on a running machine\)"):
        env_added(tmp_path, "v1.14.0", **changes)


def test_a_restart_outside_of_every_window_is_refused_before_anything_is_applied(tmp_path: Path) -> None:
    closed = [window(2, 3), window(4, 5)]
    opens = f" {closed[0]['opens']} UTC, and nothing was applied"
    refused(tmp_path, node_with(), OutsideWindow, "no window of machine.windows is open before ", windows=closed)
    refused(tmp_path, node_with(), OutsideWindow, opens, windows=closed)


def test_a_restart_within_a_window_and_what_needs_none_are_let_through(tmp_path: Path) -> None:
    assert looked(tmp_path, node_with(), windows=[window(2, 3), window(-1, 1)])["reboot"] == "request"
    assert looked(tmp_path, node_with(), windows=[window(2, 3)], apply_mode="staged")["reboot"] == "none"


def refused(folder: Path, node: Node, kind: type[TalosGpuError], words: str, **changes: Any) -> None:
    with pytest.raises(kind) as raised:
        looked(folder, node, **changes)
    assert words in raised.value.message
    assert all(request.dry_run for request in node.applied), "something was applied"


def test_a_live_config_that_is_handed_as_one_string_is_read(tmp_path: Path) -> None:
    live = BARE.replace("machine:\n", "machine:\n  env: {HTTP_PROXY: http://proxy}\n", 1)
    string = yaml.safe_dump(f"{live}---\napiVersion: v1alpha1\nkind: X\n", default_style="|")
    refused(tmp_path, node_with(string), WouldRemove, "would remove:\n  - machine.env\n  - the document X")


def test_keys_that_only_the_live_config_has_are_listed_and_kept(tmp_path: Path) -> None:
    live = BARE.replace("machine:\n", "machine:\n  env: {by_hand: canary}\n  files: [{path: /var/x}]\n", 1)
    words = "would remove:\n  - machine.env\n  - machine.files: /var/x"
    refused(tmp_path, node_with(live), WouldRemove, words)
    assert looked(tmp_path, node_with(live), allow_removal=True)["mode"] == "staged"
    assert looked(tmp_path, node_with(live), looked(tmp_path, node_with()), method="jit", config_sha256=jit())["token"]


def jit() -> str:
    from components.machine_state import want_of

    return digest(render(BARE, lacking(BARE, want_of({**inputs(1), "method": "jit"})).patches))


@pytest.mark.parametrize(("said", "fits"), [("v1.11.3", True), ("v1.12.0", False), ("v1.13.0", False)])
def test_another_minor_release_than_the_stacks_is_refused(tmp_path: Path, said: str, fits: bool) -> None:
    if fits:
        assert looked(tmp_path, node_with(), talos=said)["token"]
    else:
        refused(tmp_path, node_with(), ReleaseDiffers, f"lab-1 runs Talos v1.11.1, the stack says {said}", talos=said)


def test_an_upgrade_by_hand_is_drift_once(tmp_path: Path) -> None:
    before = looked(tmp_path, node_with())
    assert looked(tmp_path, node_with(), before, refresh=True) == {}
    node = node_with()
    node.files["/proc/version"] = node.files["/proc/version"].replace(b"6.12.45", b"6.12.57")
    node.files["/proc/driver/nvidia/version"] = node.files["/proc/driver/nvidia/version"].replace(
        b"535.247", b"535.261"
    )
    seen = looked(tmp_path, node, before, refresh=True)
    assert seen == {
        "drift_kernel": ["kernel is 6.12.57-talos, was 6.12.45-talos"],
        "drift_driver": ["driver is 535.261.01, was 535.247.01"],
    }
    after = looked(tmp_path, node, {**before, "drift": seen})
    assert after["token"] == before["token"], "an upgrade alone needs no apply"
    assert looked(tmp_path, node, after, refresh=True) == {}


def test_a_label_that_the_node_lost_is_drift_and_costs_no_restart(tmp_path: Path) -> None:
    before = looked(tmp_path, node_with())
    cluster = cluster_of()
    del cluster.objects[PATH]["metadata"]["labels"][LABEL[0]]
    seen = looked(tmp_path, node_with(), before, cluster, refresh=True)
    assert seen == {"drift_label": ["node label node.kubernetes.io/gpu-vendor is missing"]}
    after = looked(tmp_path, node_with(), {**before, "drift": seen}, cluster)
    assert after["token"] != before["token"]
    live = ApplyResult(ApplyMode.NO_REBOOT, "", ())
    assert _reboot(live, {Kind.LABEL: seen["drift_label"]}, again=True, staged=False) == "none"
    assert _reboot(live, {Kind.MODULES: ["x"]}, again=True, staged=False) == "request"


def test_a_cluster_that_is_away_hides_the_label_and_that_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = looked(tmp_path, node_with())
    cluster = cluster_of()
    cluster.status = 503
    assert looked(tmp_path, node_with(), before, cluster, refresh=True) == {}
    assert "lab-1: its label is not looked at: reading nodes/lab-1: 503" in capsys.readouterr().out


def test_each_kind_of_drift_has_a_cause_of_its_own(tmp_path: Path) -> None:
    before = looked(tmp_path, node_with())
    node = node_with()
    del node.resources[LOADED_MODULES, "nvidia_uvm"]
    node.files[UDEV_RULES] = b""
    del node.files[PART_PATH]
    seen = looked(tmp_path, node, before, refresh=True)
    assert {cause: len(lines) for cause, lines in seen.items()} == {
        "drift_modules": 1,
        "drift_part": 1,
        "drift_udev": 2,
    }
    assert looked(tmp_path, node, {**before, "drift": seen})["reboot"] == "request"
