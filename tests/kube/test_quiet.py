"""A node made quiet before its restart, and freed after it."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest

from talos_gpu.kube import quiet as quiet_module
from talos_gpu.kube.cluster import Cluster
from talos_gpu.kube.errors import ImageNotPulled, NotDrained, StillEncoding
from talos_gpu.kube.quiet import CORDONED, Quieting, free, quiet
from tests.kube.fake_api import NODE, Api, serving

T = TypeVar("T")
PATH = "/api/v1/nodes/lab-1"
IMAGE = "lab.local/tdarr-node:1"
WORKER: dict[str, Any] = {
    "metadata": {
        "namespace": "media",
        "name": "worker",
        "ownerReferences": [{"kind": "ReplicaSet", "name": "worker-1", "controller": True}],
    },
    "spec": {"nodeName": "lab-1", "containers": [{"name": "tdarr-node"}]},
    "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
}


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quiet_module, "_POLL", 0.01)


@pytest.fixture
def api() -> Api:
    api = Api(objects={PATH: copy.deepcopy(NODE), "/api/v1/pods": {"items": [copy.deepcopy(WORKER)]}})
    api.objects["/api/v1/namespaces/media/pods/worker"] = api.objects["/api/v1/pods"]["items"][0]
    api.program = lambda _: (0, b"", b"")
    return api


def at(api: Api, folder: Path, work: Callable[[Cluster], Awaitable[T]]) -> T:
    async def conversation() -> T:
        async with serving(api, folder) as path, Cluster(path, timeout=30) as cluster:
            return await work(cluster)

    return asyncio.run(conversation())


def make_quiet(api: Api, folder: Path, how: Quieting) -> tuple[bool, list[str]]:
    told: list[str] = []
    return at(api, folder, lambda cluster: quiet(cluster, "lab-1", "app=worker", how, told.append)), told


def cordon(api: Api) -> tuple[Any, Any]:
    node = api.objects[PATH]
    return node["spec"].get("unschedulable"), node["metadata"].get("annotations", {}).get(CORDONED)


def test_an_idle_node_is_cordoned_and_freed(api: Api, tmp_path: Path) -> None:
    assert make_quiet(api, tmp_path, Quieting()) == (True, [])
    assert cordon(api) == (True, "true")
    assert at(api, tmp_path, lambda cluster: free(cluster, "lab-1")) is True
    assert cordon(api) == (None, None)
    assert at(api, tmp_path, lambda cluster: free(cluster, "lab-1")) is False


def test_somebody_elses_cordon_stays_theirs(api: Api, tmp_path: Path) -> None:
    api.objects[PATH]["spec"]["unschedulable"] = True
    make_quiet(api, tmp_path, Quieting())
    assert at(api, tmp_path, lambda cluster: free(cluster, "lab-1")) is False
    assert cordon(api) == (True, None)


def test_a_node_that_the_cluster_does_not_know_needs_no_quiet(api: Api, tmp_path: Path) -> None:
    del api.objects[PATH]
    assert make_quiet(api, tmp_path, Quieting(images=(IMAGE,))) == (False, [])


def test_it_waits_for_an_encode_to_end_and_says_so_once(api: Api, tmp_path: Path) -> None:
    answers = [b"process ffmpeg\n1 encode session(s) on the GPU\n", b"process ffmpeg\n", b""]
    api.program = lambda _: (0, answers.pop(0), b"")
    made, told = make_quiet(api, tmp_path, Quieting(encode_deadline_s=30))
    assert (made, answers) == (True, [])
    assert told == ["lab-1 waits up to 30 s for process ffmpeg, 1 encode session(s) on the GPU to end"]


def test_a_worker_of_the_boot_before_that_is_still_called_ready_is_asked_again(api: Api, tmp_path: Path) -> None:
    """Right after a start of the node the kubelet has no container of it, and has not told so yet."""
    asked = 0

    def program(_: list[str]) -> tuple[int, bytes, bytes]:
        nonlocal asked
        asked += 1
        if asked < 3:
            raise ConnectionAbortedError
        return 0, b"", b""

    api.program = program
    assert make_quiet(api, tmp_path, Quieting()) == (True, [])
    assert asked == 3


def not_ready(api: Api) -> None:
    api.objects["/api/v1/pods"]["items"][0]["status"]["conditions"] = [{"type": "Ready", "status": "False"}]


def test_a_worker_that_is_not_ready_is_asked_too(api: Api, tmp_path: Path) -> None:
    """Its readiness asks the GPU with a deadline: an ffmpeg may be why it was missed."""
    not_ready(api)
    api.program = lambda command: (0, b"process ffmpeg\n" if "ffmpeg" in command[-1] else b"", b"")
    with pytest.raises(StillEncoding, match="there still ran process ffmpeg"):
        make_quiet(api, tmp_path, Quieting(encode_deadline_s=0))


def test_its_processes_are_known_also_where_its_gpu_does_not_answer(api: Api, tmp_path: Path) -> None:
    not_ready(api)

    def program(command: list[str]) -> tuple[int, bytes, bytes]:
        if "nvidia-smi" in command[-1]:
            raise ConnectionAbortedError
        return 0, b"process ffmpeg\n", b""

    api.program = program
    with pytest.raises(StillEncoding, match="there still ran process ffmpeg"):
        make_quiet(api, tmp_path, Quieting(encode_deadline_s=0))


def test_a_worker_that_is_not_ready_and_cannot_be_asked_is_told_and_waited_for_no_longer(
    api: Api, tmp_path: Path
) -> None:
    not_ready(api)
    asked = []

    def program(command: list[str]) -> tuple[int, bytes, bytes]:
        asked.append(command)
        raise ConnectionAbortedError

    api.program = program
    made, told = make_quiet(api, tmp_path, Quieting())
    assert (made, len(asked), len(told)) == (True, 1, 1)
    assert told[0].startswith(
        "a worker that is not ready cannot be asked whether an encode runs in it: exec in pod media/worker: "
    )


def test_where_no_worker_runs_it_is_told_that_nobody_was_asked(api: Api, tmp_path: Path) -> None:
    api.objects["/api/v1/pods"]["items"] = []
    said = ["no worker runs on lab-1: nobody was asked whether an encode runs there"]
    assert make_quiet(api, tmp_path, Quieting()) == (True, said)


def test_a_worker_made_by_hand_is_asked_by_its_own_selector(api: Api, tmp_path: Path) -> None:
    path = "/apis/apps/v1/namespaces/media/deployments/tdarr"
    expressions = [
        {"key": "tier", "operator": "In", "values": ["gpu", "cpu"]},
        {"key": "old", "operator": "DoesNotExist"},
    ]
    api.objects[path] = {"spec": {"selector": {"matchLabels": {"app": "tdarr"}, "matchExpressions": expressions}}}
    api.objects["/api/v1/namespaces/media/pods"] = {"items": api.objects["/api/v1/pods"]["items"]}
    api.objects["/api/v1/pods"] = {"items": []}
    api.program = lambda _: (0, b"process ffmpeg\n", b"")
    with pytest.raises(StillEncoding):
        make_quiet(api, tmp_path, Quieting(encode_deadline_s=0, adopts="media/tdarr"))
    asked = [query for path, query in api.requests if path == "/api/v1/namespaces/media/pods"]
    assert asked[0]["labelSelector"] == ["app=tdarr,tier in (gpu,cpu),!old"]
    assert make_quiet(api, tmp_path, Quieting(encode_deadline_s=0))[0], "asked without being adopted"


def test_after_the_deadline_it_stops(api: Api, tmp_path: Path) -> None:
    api.program = lambda _: (0, b"process ffmpeg\n", b"")
    with pytest.raises(StillEncoding) as raised:
        make_quiet(api, tmp_path, Quieting(encode_deadline_s=0.05))
    assert raised.value.message == "lab-1 was not restarted: after 0.05 s there still ran process ffmpeg"


def test_after_the_deadline_it_goes_on_where_the_stack_says_so(api: Api, tmp_path: Path) -> None:
    api.program = lambda _: (0, b"process ffmpeg\n", b"")
    made, told = make_quiet(api, tmp_path, Quieting(encode_deadline_s=0, on_deadline="continue"))
    assert made
    assert told == [
        "lab-1 restarts although there still runs process ffmpeg: machine.before_restart.on_deadline is continue"
    ]


def test_a_drain_waits_for_what_the_budget_allows(api: Api, tmp_path: Path) -> None:
    api.evictions = [429, 429]
    daemon = copy.deepcopy(WORKER)
    daemon["metadata"] = {"namespace": "kube-system", "name": "d", "ownerReferences": [{"kind": "DaemonSet"}]}
    static = copy.deepcopy(WORKER)
    static["metadata"] = {"namespace": "x", "name": "s", "annotations": {"kubernetes.io/config.mirror": "x"}}
    done = copy.deepcopy(WORKER)
    done["metadata"], done["status"] = {"namespace": "x", "name": "job"}, {"phase": "Succeeded"}
    api.objects["/api/v1/pods"]["items"] += [daemon, static, done]
    make_quiet(api, tmp_path, Quieting(drain=True))
    left = [pod["metadata"]["name"] for pod in api.objects["/api/v1/pods"]["items"]]
    assert left == ["d", "s", "job"]
    assert api.evictions == []


def test_a_drain_leaves_what_nothing_would_make_again_and_says_so_before_anything_is_evicted(
    api: Api, tmp_path: Path
) -> None:
    bare = copy.deepcopy(WORKER)
    bare["metadata"] = {"namespace": "x", "name": "by-hand", "ownerReferences": [{"kind": "Thing", "name": "t"}]}
    api.objects["/api/v1/pods"]["items"] += [bare]
    api.kubelet = kubelet({"terminated": {"exitCode": 0}})
    with pytest.raises(NotDrained, match="lab-1 was not restarted: x/by-hand would be gone for good"):
        make_quiet(api, tmp_path, Quieting(drain=True, images=(IMAGE,)))
    assert len(api.objects["/api/v1/pods"]["items"]) == 2
    assert (cordon(api), api.created) == ((None, None), [])
    assert make_quiet(api, tmp_path, Quieting())[0], "without a drain nobody has to go"


def test_a_bare_pod_that_comes_while_the_node_waits_is_left_too(api: Api, tmp_path: Path) -> None:
    def program(_: list[str]) -> tuple[int, bytes, bytes]:
        bare = copy.deepcopy(WORKER)
        bare["metadata"] = {"namespace": "x", "name": "by-hand"}
        bare["status"] = {"phase": "Pending"}
        api.objects["/api/v1/pods"]["items"].append(bare)
        return 0, b"", b""

    api.program = program
    with pytest.raises(NotDrained, match="x/by-hand"):
        make_quiet(api, tmp_path, Quieting(drain=True))
    assert len(api.objects["/api/v1/pods"]["items"]) == 2


def test_a_pod_of_ours_that_brought_an_image_holds_no_drain_back(api: Api, tmp_path: Path) -> None:
    image = copy.deepcopy(WORKER)
    image["metadata"] = {"namespace": "kube-system", "name": "i", "labels": {"app": "talos-nvidia-cdi-image"}}
    image["status"] = {"phase": "Pending"}
    api.objects["/api/v1/pods"]["items"] += [image]
    make_quiet(api, tmp_path, Quieting(drain=True))
    assert api.objects["/api/v1/pods"]["items"] == []


def test_a_drain_that_does_not_end_names_the_pods(api: Api, tmp_path: Path) -> None:
    api.evictions = [429] * 1000
    with pytest.raises(NotDrained, match=r"lab-1 was not restarted: after 0\.05 s media/worker could not be evicted"):
        make_quiet(api, tmp_path, Quieting(drain=True, drain_deadline_s=0.05))


def kubelet(state: dict[str, Any]) -> Callable[[dict[str, Any]], None]:
    def run(pod: dict[str, Any]) -> None:
        pod["status"] = {"containerStatuses": [{"name": "image", "state": state}]}

    return run


@pytest.mark.parametrize("state", [{"terminated": {"exitCode": 1}}, {"waiting": {"reason": "RunContainerError"}}])
def test_an_image_is_brought_by_a_pod_that_does_not_stay(api: Api, tmp_path: Path, state: dict[str, Any]) -> None:
    api.kubelet = kubelet(state)
    make_quiet(api, tmp_path, Quieting(images=(IMAGE,)))
    [pod] = api.created
    assert (pod["spec"]["nodeName"], pod["spec"]["containers"][0]["image"]) == ("lab-1", IMAGE)
    assert api.deleted == [f"/api/v1/namespaces/kube-system/pods/{pod['metadata']['name']}"]


def test_an_image_that_is_there_needs_no_pod(api: Api, tmp_path: Path) -> None:
    api.objects[PATH]["status"]["images"] = [{"names": ["x@sha256:1", IMAGE]}]
    make_quiet(api, tmp_path, Quieting(images=(IMAGE,)))
    assert api.created == []


def test_an_image_that_cannot_be_had_stops_it_before_anything_is_changed(api: Api, tmp_path: Path) -> None:
    api.kubelet = kubelet({"waiting": {"reason": "ErrImagePull", "message": "not found"}})
    with pytest.raises(ImageNotPulled, match=f"image {IMAGE} could not be pulled: not found"):
        make_quiet(api, tmp_path, Quieting(images=(IMAGE,)))
    assert cordon(api) == (None, None)
    assert len(api.deleted) == 1
