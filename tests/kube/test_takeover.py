"""What was made by hand is taken over, or refused with the command."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest

from talos_gpu.kube.cluster import Cluster
from talos_gpu.kube.errors import ClusterRefused
from talos_gpu.kube.takeover import MANAGER, SelectorDiffers, retire, take_over
from tests.kube.fake_api import Api, serving

T = TypeVar("T")
SELECTOR = {"app": "tdarr-node-gpu", "talos-nvidia-cdi/node": "talos05"}
DEPLOYMENT = "/apis/apps/v1/namespaces/media/deployments/tdarr"
DAEMON_SETS = "/apis/apps/v1/namespaces/kube-system/daemonsets"
POD = "/api/v1/namespaces/kube-system/pods/nvidia-cdi-generator"
LABEL = ("node.kubernetes.io/gpu-vendor", "nvidia")


def at(api: Api, folder: Path, work: Callable[[Cluster], Awaitable[T]]) -> T:
    async def conversation() -> T:
        async with serving(api, folder) as path, Cluster(path, timeout=30) as cluster:
            return await work(cluster)

    return asyncio.run(conversation())


def entry(manager: str, operation: str = "Update", subresource: str = "", **fields: Any) -> dict[str, Any]:
    made = {"manager": manager, "operation": operation, "fieldsV1": fields}
    return {**made, "subresource": subresource} if subresource else made


def deployment(*entries: dict[str, Any], **selector: Any) -> dict[str, Any]:
    metadata = {"name": "tdarr", "resourceVersion": "7", "managedFields": list(entries)}
    return {"metadata": metadata, "spec": {"selector": selector or {"matchLabels": dict(SELECTOR)}}}


def test_the_fields_of_a_hand_made_deployment_become_ours(tmp_path: Path) -> None:
    controller = entry("kube-controller-manager", subresource="status", s={})
    one, two = entry("kubectl-client-side-apply", a={"b": {}}), entry("kubectl-edit", a={"c": {}})
    api = Api(objects={DEPLOYMENT: deployment(one, controller, two)})
    said = at(api, tmp_path, lambda cluster: take_over(cluster, "media", "tdarr", SELECTOR))
    assert said == "Deployment media/tdarr is taken over from kubectl-client-side-apply, kubectl-edit"
    assert api.objects[DEPLOYMENT]["metadata"]["managedFields"] == [
        controller,
        entry(MANAGER, "Apply", a={"b": {}, "c": {}}),
    ]
    assert at(api, tmp_path, lambda cluster: take_over(cluster, "media", "tdarr", SELECTOR)) == ""


def test_a_deployment_that_its_controller_writes_to_meanwhile_is_read_again(tmp_path: Path) -> None:
    api = Api(objects={DEPLOYMENT: deployment(entry("kubectl-edit", a={}))}, conflicts=2)
    said = at(api, tmp_path, lambda cluster: take_over(cluster, "media", "tdarr", SELECTOR))
    assert said == "Deployment media/tdarr is taken over from kubectl-edit"
    assert api.objects[DEPLOYMENT]["metadata"]["managedFields"] == [entry(MANAGER, "Apply", a={})]
    assert len([path for path, _ in api.requests if path == DEPLOYMENT]) == 6


def test_a_takeover_that_is_refused_is_not_tried_again(tmp_path: Path) -> None:
    api = Api(objects={DEPLOYMENT: deployment(entry("kubectl-edit", a={}))}, status=403)
    with pytest.raises(ClusterRefused, match="403"):
        at(api, tmp_path, lambda cluster: take_over(cluster, "media", "tdarr", SELECTOR))


def test_without_a_deployment_there_is_nothing_to_take_over(tmp_path: Path) -> None:
    assert at(Api(), tmp_path, lambda cluster: take_over(cluster, "media", "tdarr", SELECTOR)) == ""


@pytest.mark.parametrize(
    ("selector", "said"),
    [
        ({"matchLabels": {"app": "tdarr-node-gpu-talos05"}}, "its selector is app=tdarr-node-gpu-talos05, ours app="),
        ({"matchLabels": SELECTOR, "matchExpressions": [{"key": "x", "operator": "Exists"}]}, "its selector is app="),
    ],
)
def test_another_selector_is_refused_with_the_command(tmp_path: Path, selector: Any, said: str) -> None:
    api = Api(objects={DEPLOYMENT: deployment(entry("kubectl-client-side-apply"), **selector)})
    with pytest.raises(SelectorDiffers, match=said) as raised:
        at(api, tmp_path, lambda cluster: take_over(cluster, "media", "tdarr", SELECTOR))
    assert "kubectl -n media delete deployment tdarr" in raised.value.remedy


def cluster_of(*nodes: str, paths: tuple[str, ...] = ("/var/cdi", "/var/run/cdi"), ours: tuple[str, ...] = ()) -> Api:
    volumes = [{"name": path, "hostPath": {"path": path}} for path in paths]
    seeds = {"metadata": {"name": "nvidia-cdi-init"}, "spec": {"template": {"spec": {"volumes": volumes}}}}
    return Api(
        objects={
            f"{DAEMON_SETS}/nvidia-cdi-init": seeds,
            POD: {"metadata": {"name": "nvidia-cdi-generator"}},
            "/api/v1/nodes": {"items": [{"metadata": {"name": name}} for name in nodes]},
            **{f"{DAEMON_SETS}/nvidia-cdi-init-{name}": {"metadata": {"name": name}} for name in ours},
        }
    )


def retired(api: Api, folder: Path) -> list[str]:
    return at(api, folder, lambda cluster: retire(cluster, "talos05", LABEL, "nvidia-cdi-init-{node}"))


@pytest.mark.parametrize("ours", [(), ("talos06",)])
def test_the_write_ups_objects_go_once_every_gpu_node_has_ours(tmp_path: Path, ours: tuple[str, ...]) -> None:
    api = cluster_of("talos05", *ours, ours=ours)
    assert retired(api, tmp_path) == [
        "DaemonSet nvidia-cdi-init, made by hand, is deleted: ours is ready",
        "pod nvidia-cdi-generator, made by hand, is deleted",
    ]
    assert api.deleted == [f"{DAEMON_SETS}/nvidia-cdi-init", POD]
    assert retired(api, tmp_path) == []


def test_it_stays_while_it_serves_a_node_without_ours(tmp_path: Path) -> None:
    api = cluster_of("talos05", "talos06")
    assert retired(api, tmp_path)[0] == (
        "DaemonSet nvidia-cdi-init stays: it also serves talos06, which no stack has taken over"
    )
    assert api.deleted == [POD]


def test_another_daemon_set_of_that_name_is_none_of_ours(tmp_path: Path) -> None:
    api = cluster_of("talos05", paths=("/var/lib",))
    assert retired(api, tmp_path) == ["pod nvidia-cdi-generator, made by hand, is deleted"]
