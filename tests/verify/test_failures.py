"""Every way in which the mock GPU fails, told apart from the others by the real ffmpeg's words and what lies around."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from talos_gpu.verify.report import Outcome
from tests.verify.conftest import MockContainer

UVM = {"nvidia-uvm": 511}


@dataclass(frozen=True)
class Failure:
    """What is broken, and the causes of all proofs; those that are not named are proven."""

    name: str
    causes: Mapping[str, str]
    settings: Mapping[str, str] = field(default_factory=dict)
    lost_libraries: tuple[str, ...] = ()
    lost_nodes: tuple[str, ...] = ()
    majors: Mapping[str, int] = field(default_factory=lambda: dict(UVM))


def work(cause: str, **other: str) -> dict[str, str]:
    """All that ffmpeg does fails for one cause."""
    return {"hevc_nvenc": cause, "h264_nvenc": cause, "decode": cause, "cuda": cause, **other}


def encoders(cause: str, **other: str) -> dict[str, str]:
    return {"hevc_nvenc": cause, "h264_nvenc": cause, **other}


FAILURES = [
    Failure("libcuda missing", work("libcuda-missing", inside="library-missing"), lost_libraries=("libcuda",)),
    Failure(
        "libnvidia-encode missing",
        encoders("libnvidia-encode-missing", inside="library-missing"),
        lost_libraries=("libnvidia-encode",),
    ),
    Failure(
        "libnvcuvid missing: a fall-back to software that ends with 0",
        {"decode": "libnvcuvid-missing", "inside": "library-missing"},
        lost_libraries=("libnvcuvid",),
    ),
    Failure(
        "no nvidiactl",
        work("node-missing", inside="node-missing", **{"nvidia-smi": "driver-not-there"}),
        lost_nodes=("nvidiactl",),
    ),
    Failure(
        "no nvidia0",
        work("node-missing", inside="node-missing", **{"nvidia-smi": "nvml-no-device"}),
        lost_nodes=("nvidia0",),
    ),
    Failure(
        "no nvidia-uvm, which nvidia-smi does not see",
        work("uvm-missing", inside="uvm-missing"),
        lost_nodes=("nvidia-uvm",),
    ),
    Failure(
        "stale nvidia-uvm major, which nvidia-smi does not see",
        work("uvm-stale", inside="uvm-stale"),
        {"uvm_major": "510"},
        majors={"nvidia-uvm": 510},
    ),
    Failure("cuInit 999 with good nodes", work("driver-broken"), {"cuinit": "999"}),
    Failure(
        "another kernel module", work("driver-mismatch", **{"nvidia-smi": "nvml-mismatch"}), {"kernel": "535.183.01"}
    ),
    Failure("no GPU on the bus", work("no-gpu", **{"nvidia-smi": "nvml-no-device"}), {"devices": "0"}),
    Failure("driver too old for this ffmpeg", encoders("driver-too-old"), {"api": "10.0"}),
    Failure(
        "a model without NVENC, by its codecs",
        encoders("no-nvenc", **{"nvidia-smi": "other-gpu"}),
        {"codecs": "none", "name": "NVIDIA H100 80GB HBM3"},
    ),
    Failure(
        "a model without NVENC, by the driver's word",
        encoders("no-nvenc", **{"nvidia-smi": "other-gpu"}),
        {"nvenc_open": "2", "name": "NVIDIA H100 80GB HBM3"},
    ),
    Failure("NVENC refused by its codecs on a card that has it", encoders("nvenc-unsupported"), {"codecs": "none"}),
    Failure("NVENC refused by the driver on a card that has it", encoders("nvenc-unsupported"), {"nvenc_open": "2"}),
    Failure("no HEVC", {"hevc_nvenc": "no-hevc"}, {"codecs": "h264"}),
    Failure("session refused for no visible reason", encoders("session-refused"), {"nvenc_open": "10"}),
    Failure("session limit, in current drivers' words", encoders("session-limit"), {"nvenc_open": "21"}),
    Failure("session refused for want of memory", encoders("gpu-memory"), {"nvenc_open": "10", "mem_used": "5000"}),
    Failure("GPU memory full", work("gpu-memory"), {"ctx": "2"}),
    Failure("GPU held by another program", work("gpu-taken"), {"ctx": "46"}),
    Failure("encoder refuses", encoders("encoder-refuses"), {"nvenc_init": "8"}),
    Failure("GPU lost in the middle of the work", encoders("encoder-lost"), {"encode_fail": "30:20"}),
    Failure("NVDEC says nothing: a fall-back with exit 0", {"decode": "nvdec-refuses"}, {"nvdec": "1"}),
    Failure("NVDEC decodes nothing", {"decode": "nvdec-fails"}, {"nvdec_decode": "1"}),
    Failure("no PTX compiler", {"cuda": "ptx-compiler-missing"}, {"ptx": "221"}),
    Failure("another GPU than the stack's", {"nvidia-smi": "other-gpu"}, {"name": "Tesla T4"}),
    Failure("NVML refused by the device cgroup", {"nvidia-smi": "nvml-unknown"}, {"nvml": "999"}),
]
ABSENT = {"no-nvenc", "no-hevc"}


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: failure.name)
def test_each_failure_is_told_apart(container: MockContainer, failure: Failure) -> None:
    container.majors = dict(failure.majors)
    container.gpu.configure(**failure.settings)
    container.gpu.drop_libraries(failure.lost_libraries)
    for node in failure.lost_nodes:
        del container.gpu.nodes[node]
    proofs = container.proofs()
    assert {name: proof.cause for name, proof in proofs.items() if proof.cause} == failure.causes
    for name, proof in proofs.items():
        cause = failure.causes.get(name)
        wanted = Outcome.PROVEN if cause is None else Outcome.ABSENT if cause in ABSENT else Outcome.DISPROVEN
        assert proof.outcome is wanted
        assert proof.sentence.endswith(".")
        assert "\n" not in proof.sentence


def test_a_healthy_gpu_is_proven_throughout(container: MockContainer) -> None:
    proofs = container.proofs()
    assert list(proofs) == ["inside", "nvidia-smi", "hevc_nvenc", "h264_nvenc", "decode", "cuda"]
    assert {proof.outcome for proof in proofs.values()} == {Outcome.PROVEN}
    for codec in ("hevc_nvenc", "h264_nvenc"):
        speed = proofs[codec].speed
        assert speed is not None
        assert speed.frames == 60
        assert speed.fps == pytest.approx(speed.times_real_time * 30, rel=0.1)
    assert proofs["decode"].sentence == "30 frames of H.264 decoded by NVDEC."
    assert any("pix_fmt: cuda" in line for line in proofs["decode"].evidence)


def test_an_encoder_below_the_floor_is_slow_and_says_both_figures(container: MockContainer) -> None:
    container.gpu.configure(fps=45)
    proof = container.proofs(floor=4.0, pretended=True)["hevc_nvenc"]
    assert (proof.outcome, proof.cause) == (Outcome.DISPROVEN, "slow")
    assert proof.speed is not None
    assert 0 < proof.speed.times_real_time < 1.8
    assert proof.sentence.endswith("fps, pretended), the stack demands 4x.")


def test_a_hung_encoder_is_killed_and_nothing_is_tried_after_it(container: MockContainer) -> None:
    container.gpu.configure(hang=10)
    proofs = container.proofs(limit=1)
    assert (proofs["hevc_nvenc"].outcome, proofs["hevc_nvenc"].cause) == (Outcome.DISPROVEN, "hangs")
    assert "was killed: the encoder does not come back." in proofs["hevc_nvenc"].sentence
    assert {proofs[name].cause for name in ("h264_nvenc", "decode", "cuda")} == {"after-hang"}


def test_a_busy_encoder_is_not_disturbed(container: MockContainer) -> None:
    container.gpu.configure(encoder_load=40)
    proofs = container.proofs()
    assert proofs["nvidia-smi"].outcome is Outcome.PROVEN
    assert {proofs[name].cause for name in ("hevc_nvenc", "h264_nvenc", "decode", "cuda")} == {"busy"}
    assert not [command for command in container.commands if "ffmpeg" in command]


@pytest.mark.parametrize("program", ["ffmpeg", "tdarr-ffmpeg"])
def test_where_nvidia_smi_does_not_tell_of_the_encoder_a_transcode_in_the_container_is_not_disturbed(
    container: MockContainer, program: str
) -> None:
    container.without.add("nvidia-smi")
    container.transcoders.append(program)
    proofs = container.proofs()
    work = [proofs[name] for name in ("hevc_nvenc", "h264_nvenc", "decode", "cuda")]
    assert {(proof.outcome, proof.cause) for proof in work} == {(Outcome.UNKNOWN, "busy")}
    assert f"there is process {program}, which was not disturbed" in work[0].sentence
    assert not [command for command in container.commands if "ffmpeg" in command]
    assert container.proofs(while_busy=True)["hevc_nvenc"].outcome is Outcome.PROVEN


def test_where_nvidia_smi_does_not_tell_and_nothing_runs_the_work_is_proven(container: MockContainer) -> None:
    container.without.add("nvidia-smi")
    assert container.proofs()["hevc_nvenc"].outcome is Outcome.PROVEN


def test_a_busy_encoder_is_used_on_demand_and_no_floor_is_applied(container: MockContainer) -> None:
    container.gpu.configure(encoder_load=40)
    proof = container.proofs(while_busy=True, floor=1000.0)["hevc_nvenc"]
    assert proof.outcome is Outcome.PROVEN
    assert proof.speed is not None
    assert proof.speed.floor is None
    assert "beside other sessions" in proof.sentence


def test_a_gpu_that_takes_one_program_at_a_time_is_proven_too(container: MockContainer) -> None:
    container.exclusive = True
    assert {proof.outcome for proof in container.proofs().values()} == {Outcome.PROVEN}


def test_an_image_without_ffmpeg_proves_nothing_and_disproves_nothing(container: MockContainer) -> None:
    proofs = container.proofs(ffmpeg="ffmpeg-of-another-image")
    work = [proofs[name] for name in ("hevc_nvenc", "h264_nvenc", "decode", "cuda")]
    assert {(proof.outcome, proof.cause) for proof in work} == {(Outcome.UNKNOWN, "ffmpeg-missing")}


def test_without_the_runtime_nothing_is_injected(container: MockContainer) -> None:
    container.gpu.nodes.clear()
    for path in container.gpu.folder.iterdir():
        path.unlink()
    proofs = container.proofs()
    assert proofs["inside"].cause == "nothing-injected"
    assert proofs["nvidia-smi"].cause == "nvidia-smi-missing"
    assert proofs["hevc_nvenc"].cause == "libcuda-missing"
