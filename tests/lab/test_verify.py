"""`talos-gpu verify` on the lab: real kubelet, containerd, CDI and ffmpeg, and a GPU that fails on purpose, live."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from lab import kubectl
from tests.lab.conftest import MainJob, wait_for
from tests.lab.verifying import LIBRARY, Verified, away, command, moved_major, pretending, transcoding, verify

pytestmark = pytest.mark.lab

NAMES = ("spec", "inside", "nvidia-smi", "hevc_nvenc", "h264_nvenc", "decode", "cuda")
ALL_PROVEN = dict.fromkeys(NAMES, "proven")
ENCODERS, WORK = ("hevc_nvenc", "h264_nvenc"), ("hevc_nvenc", "h264_nvenc", "decode", "cuda")


def test_a_healthy_gpu_is_proven_in_the_worker(job: MainJob, tmp_path: Path) -> None:
    found = verify(job.lab, "lab", "--junit", str(tmp_path / "junit.xml"))
    assert (found.code, found.outcomes()) == (0, ALL_PROVEN), found
    report = found.reports["lab"]
    assert report["place"].startswith(f"pod media/tdarr-node-gpu-{job.node.name}-")
    assert report["pretended"] is True
    for codec in ENCODERS:
        speed = found.proofs()[codec]["speed"]
        assert (speed["frames"], speed["floor"], speed["pretended"]) == (60, 0.1, True)
    assert "pix_fmt: cuda" in " ".join(found.proofs()["decode"]["evidence"])
    [suite] = ET.parse(tmp_path / "junit.xml").getroot()
    assert [case.get("name") for case in suite] == list(NAMES)
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("7", "0", "0")


@dataclass(frozen=True)
class Failure:
    """A way in which the GPU fails, the causes of the proofs that then fail, and what a person reads of one of them."""

    name: str
    breaks: Callable[[MainJob], AbstractContextManager[None]]
    causes: Mapping[str, str]
    proof: str
    sentence: str
    absent: tuple[str, ...] = ()
    """Proofs of a unit that this GPU does not have."""


FAILURES = (
    Failure(
        "no device node",
        lambda job: away(job, "/dev/nvidia-uvm"),
        {"inside": "uvm-missing", **dict.fromkeys(WORK, "uvm-missing")},
        "hevc_nvenc",
        "CUDA cannot start: /dev/nvidia-uvm is not there.",
    ),
    Failure(
        "stale nvidia-uvm major",
        lambda job: moved_major(job, 510),
        {"inside": "uvm-stale", **dict.fromkeys(WORK, "uvm-stale")},
        "hevc_nvenc",
        "CUDA cannot start: /dev/nvidia-uvm in the container has major 511, the kernel's is now 510 (it moved at the "
        "last boot).",
    ),
    Failure(
        "driver mismatch",
        lambda job: pretending(job, kernel="535.183.01"),
        {"nvidia-smi": "nvml-mismatch", **dict.fromkeys(WORK, "driver-mismatch")},
        "hevc_nvenc",
        "The driver library in the container and the loaded kernel module have different versions (CUDA 803).",
    ),
    Failure(
        "no NVENC",
        lambda job: pretending(job, codecs="none", name="NVIDIA H100 80GB HBM3"),
        {"nvidia-smi": "other-gpu", **dict.fromkeys(ENCODERS, "no-nvenc")},
        "hevc_nvenc",
        "NVIDIA H100 80GB HBM3 has no NVENC, as is known of this model; it is not broken, it cannot transcode.",
        absent=ENCODERS,
    ),
    Failure(
        "NVENC refused on a card that has it",
        lambda job: pretending(job, nvenc_open=2),
        dict.fromkeys(ENCODERS, "nvenc-unsupported"),
        "hevc_nvenc",
        "The driver says that Quadro P2000 cannot encode, though this model is none of those without NVENC.",
    ),
    Failure(
        "memory",
        lambda job: pretending(job, nvenc_open=10, mem_used=5000),
        dict.fromkeys(ENCODERS, "gpu-memory"),
        "hevc_nvenc",
        "No encode session: the GPU's memory is full (5000 of 5120 MiB).",
    ),
    Failure(
        "lost in the middle of the work",
        lambda job: pretending(job, encode_fail="30:20"),
        dict.fromkeys(ENCODERS, "encoder-lost"),
        "hevc_nvenc",
        "The encoder began and then failed in the middle of the work: the GPU fell off the bus, was reset, or its "
        "driver crashed.",
    ),
    Failure(
        "NVDEC missing, and ffmpeg falls back to software with exit code 0",
        lambda job: away(job, f"{LIBRARY}/libnvcuvid.so.1"),
        {"inside": "library-unlinked", "decode": "libnvcuvid-missing"},
        "decode",
        "ffmpeg fell back to software decoding and still ended with 0. NVDEC's library libnvcuvid.so.1 cannot be "
        "loaded in the container.",
    ),
    Failure(
        "NVDEC refusing, and ffmpeg falls back to software with exit code 0",
        lambda job: pretending(job, nvdec=1),
        {"decode": "nvdec-refuses"},
        "decode",
        "ffmpeg fell back to software decoding and still ended with 0. NVDEC does not say what it can decode "
        "(CUDA_ERROR_INVALID_VALUE).",
    ),
)


def told(found: Verified, failure: Failure) -> None:
    assert found.causes() == dict(failure.causes)
    for name, proof in found.proofs().items():
        failed = "absent" if name in failure.absent else "disproven"
        assert proof["outcome"] == (failed if name in failure.causes else "proven"), proof
    assert found.proofs()[failure.proof]["sentence"] == failure.sentence
    assert found.code == 1


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: failure.name)
def test_each_failure_is_told_apart(job: MainJob, failure: Failure) -> None:
    with failure.breaks(job):
        told(verify(job.lab, "lab"), failure)


def test_a_running_transcode_is_left_alone_and_a_session_limit_is_told_on_demand(job: MainJob) -> None:
    with pretending(job, fps=40, sessions=1), transcoding(job.stack) as transcode:
        frames = transcode.frames
        busy = verify(job.lab, "lab")
        beside = verify(job.lab, "lab", "--while-busy")
    assert (busy.code, busy.causes()) == (2, dict.fromkeys(WORK, "busy"))
    sentence = "Not tried: the encoder is busy with 1 session, which was not disturbed."
    assert {busy.proofs()[name]["sentence"] for name in WORK} == {sentence}
    assert (beside.code, beside.causes()) == (1, dict.fromkeys(ENCODERS, "session-limit"))
    sentence = "No further encode session: 1 are open and this card allows no more."
    assert beside.proofs()["hevc_nvenc"]["sentence"] == sentence
    assert transcode.frames > frames + 20, "the transcode stood still"


def worker_pods(job: MainJob) -> list[str]:
    pods = kubectl.get(job.lab, "pods", "-n", "media")["items"]
    return [pod["metadata"]["name"] for pod in pods]


def test_with_the_worker_gone_only_a_pod_of_its_own_can_tell(job: MainJob) -> None:
    deployment = ("-n", "media", f"deployment/tdarr-node-gpu-{job.node.name}")
    kubectl.kubectl(job.lab, "scale", *deployment, "--replicas=0")

    def ending() -> bool:
        pods = kubectl.get(job.lab, "pods", "-n", "media")["items"]
        return all("deletionTimestamp" in pod["metadata"] for pod in pods)

    try:
        wait_for("its controller ends the worker", ending)  # or it would make another for the one that is deleted
        kubectl.kubectl(job.lab, "delete", "pods", "-n", "media", "--all", "--grace-period=0", "--force")
        wait_for("the worker is gone", lambda: not worker_pods(job))
        gone = verify(job.lab, "lab")
        own = verify(job.lab, "lab", "--pod")
        assert worker_pods(job) == []
    finally:
        kubectl.kubectl(job.lab, "scale", *deployment, "--replicas=1")
        wait_for("the worker is ready again", job.worker_ready, 120)
    assert (gone.code, gone.outcomes()) == (2, {"spec": "proven", "pod": "could not tell"})
    sentence = f"no running pod of media/tdarr-node-gpu on {job.node.name}: there is none"
    assert gone.proofs()["pod"]["sentence"] == sentence
    assert (own.code, own.outcomes()) == (0, ALL_PROVEN), own
    assert own.reports["lab"]["place"].startswith("pod media/talos-gpu-verify-")


def test_an_image_without_ffmpeg_could_not_tell_in_words_for_a_person(job: MainJob) -> None:
    done = command(job.lab, "lab", "--ffmpeg", "/nowhere/ffmpeg")
    lines = done.stdout.splitlines()
    assert (done.returncode, done.stderr) == (2, "")
    assert lines[0].endswith(": could not tell")
    assert sum("The container has no /nowhere/ffmpeg: nothing can be proven in it." in line for line in lines) == 4
