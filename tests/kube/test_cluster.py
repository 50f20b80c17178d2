"""The cluster layer against a server that speaks HTTP and web sockets."""

from __future__ import annotations

import asyncio
import copy
import json
import socket
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import pytest

from talos_gpu.kube.cluster import Cluster
from talos_gpu.kube.errors import (
    ClusterRefused,
    ClusterUnreachable,
    ExecFailed,
    KubeconfigInvalid,
    NodeNotReady,
    PodNotFound,
)
from talos_gpu.kube.states import ExecResult
from tests.kube.fake_api import NODE, Api, kubeconfig, serving

AnswerT = TypeVar("AnswerT")
LABEL = {"node.kubernetes.io/gpu-vendor": "nvidia"}
POD = {
    "metadata": {"namespace": "media", "name": "tdarr-0", "annotations": {"digest": "abc"}},
    "spec": {"nodeName": "lab-1", "containers": [{"name": "tdarr"}]},
    "status": {
        "phase": "Pending",
        "conditions": [{"type": "Ready", "status": "False"}],
        "containerStatuses": [
            {
                "name": "tdarr",
                "restartCount": 2,
                "state": {
                    "waiting": {
                        "reason": "CreateContainerError",
                        "message": "unresolvable CDI devices nvidia.com/gpu=all",
                    }
                },
            }
        ],
    },
}


def ask(api: Api, folder: Path, question: Callable[[Cluster], Awaitable[AnswerT]]) -> AnswerT:
    async def conversation() -> AnswerT:
        async with serving(api, folder) as config, Cluster(config, timeout=30) as cluster:
            return await question(cluster)

    return asyncio.run(conversation())


def test_a_node_is_read(tmp_path: Path) -> None:
    api = Api({"/api/v1/nodes/lab-1": NODE})
    node = ask(api, tmp_path, lambda cluster: cluster.node("lab-1"))
    assert node is not None
    assert (node.ready, node.containerd, node.kernel, node.boot_id) == (True, "2.1.4", "6.12.45-talos", "old")
    assert ask(api, tmp_path, lambda cluster: cluster.node_ready("lab-1"))
    assert not ask(api, tmp_path, lambda cluster: cluster.node_ready("lab-2"))


def test_waiting_ends_when_ready_with_the_label_on_a_new_boot(tmp_path: Path) -> None:
    api = Api({"/api/v1/nodes/lab-1": NODE})
    later = copy.deepcopy(NODE)
    later["metadata"]["labels"] |= LABEL
    later["status"]["nodeInfo"]["bootID"] = "new"

    async def reboot(cluster: Cluster) -> str:
        asyncio.get_running_loop().call_later(0.2, api.objects.update, {"/api/v1/nodes/lab-1": later})
        return (await cluster.wait_node("lab-1", LABEL, 60, boot_id_before="old")).boot_id

    assert ask(api, tmp_path, reboot) == "new"


def test_waiting_says_what_was_last_seen(tmp_path: Path) -> None:
    node = copy.deepcopy(NODE)
    node["status"]["conditions"] = [
        {"type": "Ready", "status": "False", "reason": "KubeletNotReady", "message": "no CNI"}
    ]
    api = Api({"/api/v1/nodes/lab-1": node})
    with pytest.raises(NodeNotReady) as caught:
        ask(api, tmp_path, lambda cluster: cluster.wait_node("lab-1", LABEL, 3, boot_id_before="old"))
    assert str(caught.value) == (
        "node lab-1 was not ready within 3 s; last seen: still on boot old, not Ready (KubeletNotReady: no CNI), "
        "without label node.kubernetes.io/gpu-vendor\n"
        "  remedy: kubectl describe node lab-1; talosctl services kubelet"
    )
    with pytest.raises(NodeNotReady, match="last seen: not registered"):
        ask(Api(), tmp_path, lambda cluster: cluster.wait_node("lab-1", {}, 3))


def test_pods_tell_why_they_wait(tmp_path: Path) -> None:
    api = Api({"/api/v1/namespaces/media/pods": {"items": [POD]}})
    [pod] = ask(api, tmp_path, lambda cluster: cluster.pods("app=tdarr", "media"))
    assert (pod.name, pod.node, pod.ready, pod.restarts) == ("tdarr-0", "lab-1", False, 2)
    assert pod.waiting == "CreateContainerError: unresolvable CDI devices nvidia.com/gpu=all"
    assert api.requests[-1] == ("/api/v1/namespaces/media/pods", {"labelSelector": ["app=tdarr"]})


def test_events_are_in_order_of_time_old_form_and_new(tmp_path: Path) -> None:
    old = {
        "metadata": {},
        "type": "Warning",
        "reason": "Failed",
        "message": "x\n",
        "count": 3,
        "lastTimestamp": "2026-01-02T",
    }
    new: dict[str, object] = {
        "metadata": {},
        "type": "Normal",
        "reason": "Pulled",
        "message": "y",
        "eventTime": "2026-01-01T",
        "series": None,
    }
    api = Api({"/api/v1/namespaces/media/events": {"items": [old, new]}})
    events = ask(api, tmp_path, lambda cluster: cluster.pod_events("media", "tdarr-0"))
    assert [(event.reason, event.message, event.count) for event in events] == [("Pulled", "y", 1), ("Failed", "x", 3)]
    assert api.requests[-1][1] == {"fieldSelector": ["involvedObject.kind=Pod,involvedObject.name=tdarr-0"]}


def exec_api(*frames: bytes) -> Api:
    return Api({"/api/v1/namespaces/media/pods/tdarr-0": POD}, exec_frames=list(frames))


def test_exec_returns_output_and_exit_code(tmp_path: Path) -> None:
    failure = {
        "status": "Failure",
        "message": "command terminated with non-zero exit code",
        "details": {"causes": [{"reason": "ExitCode", "message": "3"}]},
    }
    api = exec_api(b"\x01out\n", b"\x02err\n", b"\x03" + json.dumps(failure).encode())
    result = ask(api, tmp_path, lambda cluster: cluster.exec_in_pod("media", "tdarr-0", ["nvidia-smi", "-L"]))
    assert result == ExecResult(3, "out\n", "err\n")
    path, query = api.requests[-1]
    assert path == "/api/v1/namespaces/media/pods/tdarr-0/exec"
    assert (query["command"], query["container"]) == (["nvidia-smi", "-L"], ["tdarr"])


def test_exec_of_a_command_that_cannot_be_started(tmp_path: Path) -> None:
    failure = {"status": "Failure", "message": "container not found (tdarr)", "details": {"causes": [{"message": "x"}]}}
    api = exec_api(b"\x03" + json.dumps(failure).encode())
    with pytest.raises(ExecFailed, match=r"exec in pod media/tdarr-0: container not found \(tdarr\)"):
        ask(api, tmp_path, lambda cluster: cluster.exec_in_pod("media", "tdarr-0", ["x"]))


def test_exec_of_a_command_that_succeeds(tmp_path: Path) -> None:
    api = exec_api(b"\x01ok", b'\x03{"status": "Success"}')
    assert ask(api, tmp_path, lambda cluster: cluster.exec_in_pod("media", "tdarr-0", ["true"])) == ExecResult(
        0, "ok", ""
    )


def test_exec_in_no_pod_and_exec_that_never_ends(tmp_path: Path) -> None:
    with pytest.raises(PodNotFound, match="no pod x in namespace media"):
        ask(Api(), tmp_path, lambda cluster: cluster.exec_in_pod("media", "x", ["true"]))
    with pytest.raises(ExecFailed, match=r"exec in pod media/tdarr-0: not done within 2 s"):
        ask(exec_api(), tmp_path, lambda cluster: cluster.exec_in_pod("media", "tdarr-0", ["sleep"], seconds=2))


def test_a_newer_kubernetes_is_no_warning(tmp_path: Path) -> None:
    assert ask(Api(version="v1.99.0"), tmp_path, lambda cluster: cluster.node("x")) is None


def test_a_refusal_names_status_and_remedy(tmp_path: Path) -> None:
    api = Api({"/api/v1/nodes/lab-1": NODE}, status=403)
    with pytest.raises(ClusterRefused) as caught:
        ask(api, tmp_path, lambda cluster: cluster.node("lab-1"))
    assert str(caught.value) == (
        "reading nodes/lab-1: 403 refused: /api/v1/nodes/lab-1\n"
        "  remedy: the kubeconfig's user lacks a right, or its credentials have expired"
    )


async def _enter(config: Path) -> None:
    async with Cluster(config, timeout=600):
        pass


def test_a_cluster_that_is_switched_off_is_unreachable(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        config = kubeconfig(tmp_path, free.getsockname()[1])  # bound and not listening: nobody else takes it
        before = time.monotonic()
        with pytest.raises(ClusterUnreachable, match="All connection attempts failed"):
            asyncio.run(_enter(config))
    assert time.monotonic() - before < 60


def test_a_kubeconfig_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(KubeconfigInvalid) as caught:
        asyncio.run(_enter(tmp_path / "none"))
    assert str(caught.value) == (
        f"kubeconfig {tmp_path}/none cannot be used: no such file\n"
        "  remedy: set kubeconfig in the stack, or KUBECONFIG in the environment, to the file's path"
    )
    (tmp_path / "bad").write_text("- 1\n")
    with pytest.raises(KubeconfigInvalid):
        asyncio.run(_enter(tmp_path / "bad"))


def test_objects_are_fetched_made_and_deleted_by_path(tmp_path: Path) -> None:
    sets = {"items": [{"metadata": {"name": "nvidia-cdi-init"}}]}
    api = Api({"/apis/apps/v1/daemonsets": sets})
    pods = "/api/v1/namespaces/media/pods"

    async def there_and_back(cluster: Cluster) -> None:
        assert await cluster.fetch("/apis/apps/v1/daemonsets", labelSelector="a=b") == sets
        assert await cluster.fetch("/apis/apps/v1/deployments") is None
        made = await cluster.create(pods, {"metadata": {"name": "one"}})
        assert await cluster.fetch(f"{pods}/one") == made == {"metadata": {"name": "one"}}
        await cluster.delete(f"{pods}/one")
        await cluster.delete(f"{pods}/one")

    ask(api, tmp_path, there_and_back)
    assert api.requests[1] == ("/apis/apps/v1/daemonsets", {"labelSelector": ["a=b"]})
    assert api.deleted == [f"{pods}/one"]


def test_a_pod_that_podsecurity_refuses_says_so(tmp_path: Path) -> None:
    with pytest.raises(ClusterRefused, match="creating in /api/v1/namespaces/media/pods: 403"):
        ask(
            Api(status=403),
            tmp_path,
            lambda cluster: cluster.create("/api/v1/namespaces/media/pods", {"metadata": {"name": "one"}}),
        )
