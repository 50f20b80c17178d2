"""MachineReady: what it waits for, what it says when that does not come, and that the node is free in the end."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typing_extensions import override

from components import restart as restart_module
from components.machine_ready import MachineNotReady, MachineReadyProvider
from components.machine_restarted import MachineRestartedProvider
from components.restart_allowed import OutsideWindow, RebootForbidden
from talos_gpu.errors import TalosGpuError
from talos_gpu.kube.errors import ClusterRefused
from talos_gpu.kube.quiet import CORDONED
from talos_gpu.settings.machine import BeforeRestart
from talos_gpu.talos.errors import PermissionDenied
from talos_gpu.talos.facts import EXTENSIONS, LOADED_MODULES
from tests.components.providing import PATH, cluster_of, props, providing, window
from tests.kube.fake_api import Api
from tests.kube.test_quiet import WORKER
from tests.talos.asking import AUTHORITY
from tests.talos.fake_talos import Node, serving
from tests.talos.pki import talosconfig
from tests.talos.test_facts import BOOT, gpu_node

BOOT_FILE = "/proc/sys/kernel/random/boot_id"


def applied(folder: Path, node: Node, api: Api, **changes: Any) -> dict[str, Any]:
    async def conversation() -> dict[str, Any]:
        async with serving(node, AUTHORITY) as port, providing(folder, api) as provider:
            return await provider._apply(props(port, **changes))

    return asyncio.run(conversation())


def not_ready(folder: Path, node: Node, api: Api, **changes: Any) -> str:
    with pytest.raises(MachineNotReady) as raised:
        applied(folder, node, api, **{"timeout_s": 1, **changes})
    return raised.value.message


def test_a_node_that_holds_everything_is_ready(tmp_path: Path) -> None:
    outs = applied(tmp_path, gpu_node(), cluster_of())
    assert (outs["boot_id"], outs["reboot_pending"], outs["facts"]["driver"]) == (BOOT, False, "535.247.01")
    assert outs["facts"]["containerd"] == "2.1.4"


def test_a_staged_config_is_ready_at_once_and_pending(tmp_path: Path) -> None:
    outs = applied(tmp_path, gpu_node(), cluster_of(), apply_mode="staged", reboot_expected=True)
    assert outs["reboot_pending"] is True


def without_module(node: Node, api: Api) -> None:
    del node.resources[LOADED_MODULES, "nvidia_uvm"]


def without_extensions(node: Node, api: Api) -> None:
    for key in [key for key in node.resources if key[0] in {EXTENSIONS, LOADED_MODULES}]:
        del node.resources[key]


def without_label(node: Node, api: Api) -> None:
    del api.objects[PATH]["metadata"]["labels"]["node.kubernetes.io/gpu-vendor"]


def unregistered(node: Node, api: Api) -> None:
    del api.objects[PATH]


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (without_module, "condition config, last seen: kernel module nvidia_uvm is not loaded"),
        (without_extensions, "; likely cause: the schematic lacks the extension nonfree-kmod-nvidia or"),
        (without_label, "condition node, last seen: node lab-1: without label node.kubernetes.io/gpu-vendor"),
        (unregistered, "condition node, last seen: node lab-1: not registered; likely cause: the kubelet"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_does_not_come_is_named(tmp_path: Path, broken: Callable[[Node, Api], None], words: str) -> None:
    node, api = gpu_node(), cluster_of()
    broken(node, api)
    assert words in not_ready(tmp_path, node, api)


def test_the_old_boot_is_not_taken_for_a_new_one(tmp_path: Path) -> None:
    said = not_ready(tmp_path, gpu_node(), cluster_of(), reboot="request", boot_id_before=BOOT)
    assert f"condition boot-id, last seen: still on boot {BOOT}; likely cause: it answers and was not restarted" in said


def rebooting(node: Node, then: Callable[[], object] = lambda: None) -> asyncio.Task[None]:
    async def follow() -> None:
        while "reboot" not in node.calls:  # noqa: ASYNC110 - the fake tells by its record
            await asyncio.sleep(0.01)
        then()
        node.files[BOOT_FILE] = f"{BOOT}\n".encode()

    return asyncio.create_task(follow())


def test_a_restart_happens_on_a_cordoned_node_that_is_free_in_the_end(tmp_path: Path) -> None:
    node, api = gpu_node(), cluster_of()
    seen: list[str] = []
    node.files[BOOT_FILE] = b"old\n"

    async def conversation() -> dict[str, Any]:
        async with serving(node, AUTHORITY) as port, providing(tmp_path, api) as provider:
            following = rebooting(node)
            outs = await provider._apply(props(port, reboot="request", boot_id_before="old"))
            await following
            return outs

    watched = api.objects[PATH]
    kept, watched["spec"] = watched["spec"], _Spy(watched["spec"], seen)
    assert kept == {}
    assert asyncio.run(conversation())["boot_id"] == BOOT
    assert node.calls.count("reboot") == 1
    assert seen == ["unschedulable=True", "unschedulable gone"]
    assert CORDONED not in watched["metadata"]["annotations"]


def test_a_restart_has_one_order(tmp_path: Path) -> None:
    """Images, cordon, encodes, drain, restart, uncordon: what an `up` does, and so a rollout, whose step it is."""
    node, api = gpu_node(), cluster_of()
    node.files[BOOT_FILE] = b"old\n"
    seen: list[str] = []
    api.objects[PATH]["spec"] = _Spy({}, seen)
    api.objects["/api/v1/pods"]["items"] = [copy.deepcopy(WORKER)]
    api.objects["/api/v1/namespaces/media/pods/worker"] = WORKER
    encodes = [b"process ffmpeg\n", b""]

    def program(_: list[str]) -> tuple[int, bytes, bytes]:
        seen.append(f"encodes: {len(encodes) - 1}")
        return 0, encodes.pop(0), b""

    def kubelet(pod: dict[str, Any]) -> None:
        seen.append("image")
        pod["status"] = {"containerStatuses": [{"name": "image", "state": {"terminated": {"exitCode": 0}}}]}

    api.program, api.kubelet = program, kubelet
    how = {**BeforeRestart(drain=True).model_dump(), "images": ["lab.local/tdarr-node:1"]}

    async def conversation() -> None:
        async with serving(node, AUTHORITY) as port, providing(tmp_path, api) as provider:
            following = rebooting(
                node, lambda: seen.append(f"restart, {len(api.objects['/api/v1/pods']['items'])} pods")
            )
            await provider._apply(props(port, reboot="request", boot_id_before="old", before_restart=how))
            await following

    asyncio.run(conversation())
    assert seen == [
        "image",
        "unschedulable=True",
        "encodes: 1",
        "encodes: 0",
        "restart, 0 pods",
        "unschedulable gone",
    ]


class _Spy(dict[str, Any]):
    """Keeps what happens to a node's spec."""

    def __init__(self, values: dict[str, Any], seen: list[str]) -> None:
        super().__init__(values)
        self._seen = seen

    @override
    def __setitem__(self, key: str, value: Any) -> None:
        self._seen.append(f"{key}={value}")
        super().__setitem__(key, value)

    @override
    def pop(self, key: str, *default: Any) -> Any:
        self._seen.append(f"{key} gone")
        return super().pop(key, *default)


def test_a_restart_that_was_made_before_is_not_made_again(tmp_path: Path) -> None:
    node, api = gpu_node(), cluster_of()
    assert applied(tmp_path, node, api, reboot="request", boot_id_before="old")["boot_id"] == BOOT
    assert "reboot" not in node.calls


@pytest.mark.parametrize(
    ("changes", "kind", "words"),
    [
        ({"reboot_policy": "forbid"}, RebootForbidden, "the stack says machine.reboot: forbid, and the config stays"),
        ({"windows": [window(2, 3)]}, OutsideWindow, "no window of machine.windows is open before "),
    ],
)
def test_a_restart_that_an_up_before_has_left_is_refused_as_any_other(
    tmp_path: Path, changes: dict[str, Any], kind: type[TalosGpuError], words: str
) -> None:
    """MachineState has nothing to do then: its config is staged already."""
    node, api = gpu_node(), cluster_of()
    with pytest.raises(kind) as raised:
        applied(tmp_path, node, api, reboot="request", boot_id_before=BOOT, **changes)
    assert words in raised.value.message
    assert "reboot" not in node.calls
    assert (api.objects[PATH]["spec"], api.created) == ({}, []), "the node was made quiet"


def test_a_restart_that_was_made_meanwhile_is_not_refused(tmp_path: Path) -> None:
    closed = {"reboot_policy": "forbid", "windows": [window(2, 3)]}
    assert applied(tmp_path, gpu_node(), cluster_of(), reboot="request", boot_id_before="old", **closed)["boot_id"]


LEFT = (
    "lab-1: this restarts the node and with it the worker: its machine config is staged, and holds from the next boot "
    "on. Before it `up` cordons the node, waits until no encode runs (at most 1800 s, then stops without a restart)\n"
)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ({"token": "before"}, {"reboot": "request"}, LEFT),
        ({"token": "now", "timeout_s": 1}, {"reboot": "request"}, ""),
        ({"token": "before"}, {"reboot": "none"}, ""),
        ({"token": "before"}, {"reboot": None}, ""),
        ({}, {"reboot": "request"}, LEFT),
        ({}, {"reboot": "none"}, ""),
    ],
    ids=["left", "made", "none due", "not known yet", "left by the first up", "none due at the first up"],
)
@pytest.mark.parametrize("provider", [MachineReadyProvider(), MachineRestartedProvider()])
def test_a_preview_says_what_an_up_before_has_left(
    provider: MachineReadyProvider,
    old: dict[str, Any],
    new: dict[str, Any],
    said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    olds, news = (props(1, **old) if old else {}), props(1, token="now", **new)
    provider.check(olds, news)
    if olds:
        provider.diff("id", olds, news)
    assert capsys.readouterr().out == said


@pytest.mark.parametrize("cordoned", ["true", None])
def test_a_failure_frees_the_node_that_was_cordoned_here(tmp_path: Path, cordoned: str | None) -> None:
    node, api = gpu_node(), cluster_of()
    without_module(node, api)
    api.objects[PATH]["spec"]["unschedulable"] = True
    if cordoned:
        api.objects[PATH]["metadata"]["annotations"] = {CORDONED: cordoned}
    not_ready(tmp_path, node, api)
    assert ("unschedulable" in api.objects[PATH]["spec"]) is (cordoned is None)


def test_what_waiting_does_not_mend_is_raised_at_once(tmp_path: Path) -> None:
    async def conversation() -> None:
        async with serving(gpu_node(), AUTHORITY) as port, providing(tmp_path, cluster_of()) as provider:
            (tmp_path / "talosconfig").write_text(talosconfig(AUTHORITY, AUTHORITY.client("os:reader")))
            await provider._apply(props(port, reboot="request", boot_id_before=BOOT, timeout_s=3600))

    with pytest.raises(PermissionDenied, match=r"Reboot on .*: needs role os:operator, the certificate has os:reader"):
        asyncio.run(conversation())


def test_a_cluster_that_is_away_keeps_the_node_from_being_restarted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(restart_module, "_FREE_SECONDS", 0.1)
    node, api = gpu_node(), cluster_of()
    api.status = 503
    with pytest.raises(ClusterRefused):
        applied(tmp_path, node, api, reboot="request", boot_id_before=BOOT)
    assert "reboot" not in node.calls
    assert (
        "lab-1 may still be cordoned, and could not be freed: reading /api/v1/nodes/lab-1: 503"
        in capsys.readouterr().out
    )
