"""The worker is restarted when nothing is encoded in it, and a preview says what restarts it."""

from __future__ import annotations

import asyncio
import copy
from pathlib import Path
from typing import Any

import pytest

from components.access import Access
from components.worker_restart import WorkerRestartProvider
from talos_gpu.kube import quiet as quiet_module
from talos_gpu.kube.errors import ExecFailed, StillEncoding
from talos_gpu.settings.machine import BeforeRestart
from tests.components.providing import NODE, PATH, cluster_of
from tests.kube.fake_api import Api, serving
from tests.kube.test_quiet import WORKER

WAITS = ". Before it `up` waits until no encode runs (at most 1800 s, then leaves the worker as it is)"


def inputs(image: str = "tdarr:1", spec: str | None = "aa", **before: Any) -> dict[str, Any]:
    """As the provider is handed them: what is not known yet is None."""
    template = {"tdarr.image": image, "cdi.runtime": "nvidia-cdi"}
    return {
        "node": NODE,
        "template": template,
        "spec_sha256": spec,
        "before_restart": {**BeforeRestart(**before).model_dump(), "images": []},
        "version": "1",
    }


@pytest.mark.parametrize(
    ("new", "sentence"),
    [
        (inputs(), ""),
        (inputs("tdarr:2"), f"this restarts the worker: tdarr.image{WAITS}"),
        (inputs(spec="bb"), f"this restarts the worker: the CDI spec, which is another one{WAITS}"),
        (inputs(spec=""), f"this restarts the worker: no CDI spec of the stack any more{WAITS}"),
        (
            inputs("tdarr:2", spec=None, on_deadline="continue", encode_deadline_s=60),
            (
                "this restarts the worker: tdarr.image; the CDI spec, if it becomes another one (it is "
                "made anew). Before it `up` waits until no encode runs (at most 60 s, then restarts it all the same)"
            ),
        ),
        (
            inputs("tdarr:2", cordon=False),
            "this restarts the worker: tdarr.image. An encode that runs is ended",
        ),
    ],
)
def test_a_preview_says_what_restarts_the_worker(
    new: dict[str, Any], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found = WorkerRestartProvider().diff("id", inputs(), new)
    assert capsys.readouterr().out == (f"{NODE}: {sentence}\n" if sentence else "")
    assert found.changes is bool(sentence)


def updated(folder: Path, api: Api, old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    async def conversation() -> dict[str, Any]:
        async with serving(api, folder) as kubeconfig:
            provider = WorkerRestartProvider()
            provider._access = Access("", str(kubeconfig), "")
            return await provider._waited(old, new)

    return asyncio.run(conversation())


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Api:
    monkeypatch.setattr(quiet_module, "_POLL", 0.01)
    api = cluster_of()
    api.objects["/api/v1/pods"]["items"] = [copy.deepcopy(WORKER)]
    api.objects["/api/v1/namespaces/media/pods/worker"] = WORKER
    return api


def test_it_waits_for_the_encode_and_the_node_is_not_cordoned(
    api: Api, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = [b"process ffmpeg\n", b"process ffmpeg\n", b""]
    api.program = lambda _: (0, answers.pop(0), b"")
    assert updated(tmp_path, api, inputs(), inputs("tdarr:2")) == inputs("tdarr:2")
    assert answers == []
    assert capsys.readouterr().out == "the worker on lab-1 waits up to 1800 s for process ffmpeg to end\n"
    assert api.objects[PATH]["spec"] == {}


def test_a_pod_of_the_boot_before_that_is_still_called_ready_is_asked_again(api: Api, tmp_path: Path) -> None:
    """Right after a restart of the node the kubelet has no container of it, and has not told so yet."""
    asked = 0

    def program(_: list[str]) -> tuple[int, bytes, bytes]:
        nonlocal asked
        asked += 1
        if asked < 3:
            raise ConnectionAbortedError
        api.objects["/api/v1/pods"]["items"][0]["status"]["phase"] = "Pending"
        raise ConnectionAbortedError

    api.program = program
    assert updated(tmp_path, api, inputs(), inputs("tdarr:2"))
    assert asked == 3


def test_a_worker_that_cannot_be_asked_is_not_restarted(
    api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quiet_module, "_UNASKED_SECONDS", 0.05)

    def program(_: list[str]) -> tuple[int, bytes, bytes]:
        raise ConnectionAbortedError

    api.program = program
    with pytest.raises(ExecFailed, match="exec in pod media/worker"):
        updated(tmp_path, api, inputs(), inputs("tdarr:2"))


def test_after_the_deadline_the_worker_stays_as_it_is(api: Api, tmp_path: Path) -> None:
    api.program = lambda _: (0, b"process ffmpeg\n", b"")
    with pytest.raises(StillEncoding, match="the worker on lab-1 was not restarted: after 0 s there still ran"):
        updated(tmp_path, api, inputs(), inputs("tdarr:2", encode_deadline_s=0))


@pytest.mark.parametrize("new", [inputs(), inputs("tdarr:2", cordon=False)])
def test_nobody_is_waited_for_where_nothing_restarts_or_the_stack_says_so(
    api: Api, tmp_path: Path, new: dict[str, Any]
) -> None:
    assert updated(tmp_path, api, inputs(), new) == new
    assert api.requests == []
