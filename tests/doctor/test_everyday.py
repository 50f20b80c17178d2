"""Everyday situations that are no faults, and faults that such situations once hid."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from talos_gpu.doctor.diagnose import diagnose
from tests.doctor.bundles import MADE, Box, broken
from tests.doctor.fault import NO_RUNTIME

LOG = "cluster/logs/media_tdarr-0.txt"
REFUSED = "Error: connect ECONNREFUSED 10.96.0.12:8266\n"
NO_MEMORY = "[hevc_nvenc @ 0x5] OpenEncodeSessionEx failed: out of memory (10): (no details)\n"
CREATING = {
    "phase": "Pending",
    "startTime": "2026-11-24T01:59:58Z",
    "containerStatuses": [{"state": {"waiting": {"reason": "ContainerCreating"}}}],
}
SUCCEEDED = {"phase": "Succeeded"}
ERROR = {"phase": "Failed", "containerStatuses": [{"state": {"terminated": {"reason": "Error", "exitCode": 1}}}]}
EVICTED = {"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory."}


def another(box: Box, name: str, status: dict[str, Any], owner: str = "", **metadata: object) -> dict[str, Any]:
    """A GPU pod of a user's, made like the worker."""
    pod = copy.deepcopy(box.worker)
    pod["metadata"] = {"name": name, "namespace": "ai", "labels": {}, **metadata}
    if owner:
        pod["metadata"]["ownerReferences"] = [{"kind": "Job", "name": owner, "uid": owner, "controller": True}]
    pod["status"] = status
    box.items("pods").append(pod)
    return pod


def evicted(box: Box) -> None:
    pod = copy.deepcopy(box.worker)
    pod["metadata"]["name"], pod["status"] = "tdarr-evicted", EVICTED
    box.items("pods").append(pod)


def tried_again(box: Box) -> None:
    another(box, "train-1", ERROR, "train")
    another(box, "train-2", SUCCEEDED, "train")


def evicted_installer(box: Box) -> None:
    pod = copy.deepcopy(box.installer)
    pod["metadata"]["name"] += "-evicted"
    pod["status"] = EVICTED
    box.items("pods").append(pod)


def being_created(box: Box) -> None:
    another(box, "new", CREATING)


def says(*lines: str) -> Callable[[Box], None]:
    def make(box: Box) -> None:
        box.texts[LOG] = "".join(lines)

    return make


def mps(box: Box) -> None:
    for name, pods in (("nvdp-nvidia-device-plugin", 1), ("nvdp-nvidia-device-plugin-mps-control-daemon", 0)):
        metadata, status = {"name": name, "namespace": "x"}, {"desiredNumberScheduled": pods}
        box.items("daemonsets").append({"metadata": metadata, "spec": {"template": {"spec": {}}}, "status": status})


HEALTHY = {
    "an evicted pod was left behind, its successor runs": evicted,
    "an evicted installer was left behind": evicted_installer,
    "a Job's first try failed, its second has succeeded": tried_again,
    "a GPU pod is being created since two seconds": being_created,
    "the worker was there before its server": says(REFUSED, "Tdarr_Node connected to server\n"),
    "an encode failed once, and others have ended well since": says(NO_MEMORY, "encode done\n" * 150),
    "ffmpeg has written a file since": says(NO_MEMORY, "video:12kB audio:0kB muxing overhead: 1.0%\n"),
    "the device plugin's MPS daemon is not asked for": mps,
}


@pytest.mark.parametrize("what", HEALTHY)
def test_an_everyday_situation_is_no_finding(what: str) -> None:
    diagnosis = diagnose(broken(HEALTHY[what]))
    assert [(one.check, one.evidence) for one in diagnosis.findings] == []


def all_tries_failed(box: Box) -> None:
    another(box, "train-1", ERROR, "train")
    another(box, "train-2", ERROR, "train")


def failed_beside_its_like(box: Box) -> None:
    """Two pods of a user's with the same labels: one has not taken the other's place."""
    another(box, "one", ERROR, labels={"app": "cuda"})
    another(box, "two", copy.deepcopy(box.worker["status"]), labels={"app": "cuda"})


def created_for_long(box: Box) -> None:
    another(box, "new", {**CREATING, "startTime": "2026-11-24T01:50:00Z"})


def no_sandbox(box: Box) -> None:
    box.event(another(box, "new", CREATING), NO_RUNTIME, "FailedCreatePodSandBox")


STILL_FOUND = {
    "all tries of a Job failed": (all_tries_failed, "pod-fails"),
    "a pod failed beside one like it": (failed_beside_its_like, "pod-fails"),
    "a pod is being created since ten minutes": (created_for_long, "pod-fails"),
    "a pod of two seconds says why it will not start": (no_sandbox, "pod-fails"),
    "the server is gone again": (says("Tdarr_Node connected to server\n", REFUSED), "tdarr-server-unreachable"),
    "the worker says that it is not connected": (says(REFUSED, "not connected\n"), "tdarr-server-unreachable"),
    "the newest encode failed": (says("encode done\n", NO_MEMORY), "work-fails"),
    "an encode ended and failed": (says(NO_MEMORY, "encode finished with errors\n"), "work-fails"),
}


@pytest.mark.parametrize("what", STILL_FOUND)
def test_what_is_wrong_now_is_found(what: str) -> None:
    make, wanted = STILL_FOUND[what]
    assert MADE.startswith("2026-11-24T02:00")
    assert {one.check for one in diagnose(broken(make)).roots} == {wanted}
