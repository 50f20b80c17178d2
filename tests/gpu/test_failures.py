"""Each way to fail, as the real ffmpeg says it. Texts are those of Debian 12's ffmpeg 5.1."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from tests.gpu.mock_gpu import MockGpu

NO_DEVICE = "cuInit(0) failed -> CUDA_ERROR_NO_DEVICE: no CUDA-capable device is detected"
UNKNOWN = "cuInit(0) failed -> CUDA_ERROR_UNKNOWN: unknown error"
MISMATCH = (
    "cuInit(0) failed -> CUDA_ERROR_SYSTEM_DRIVER_MISMATCH: "
    "system has unsupported display driver / cuda driver combination"
)
NONE_CAPABLE = "[hevc_nvenc] No capable devices found"
NOT_FEATURED = "[hevc_nvenc] Provided device doesn't support required NVENC features"


@dataclass(frozen=True)
class Failure:
    """What is broken, and ffmpeg's words for it: without and with `-hwaccel cuda`."""

    name: str
    words: tuple[str, ...]
    hwaccel_words: tuple[str, ...]
    settings: dict[str, str] = field(default_factory=dict)
    lost_libraries: tuple[str, ...] = ()
    lost_nodes: tuple[str, ...] = ()
    options: tuple[str, ...] = ("-c:v", "hevc_nvenc", "-preset", "fast")


FAILURES = [
    Failure(
        "libcuda missing",
        ("[hevc_nvenc] Cannot load libcuda.so.1",),
        (
            "[AVHWDeviceContext] Cannot load libcuda.so.1",
            "Could not dynamically load CUDA",
            "Device creation failed: -1.",
        ),
        lost_libraries=("libcuda",),
    ),
    Failure(
        "libnvidia-encode missing",
        ("Cannot load libnvidia-encode.so.1", "The minimum required Nvidia driver for nvenc is 470.57.02 or newer"),
        ("Cannot load libnvidia-encode.so.1", "The minimum required Nvidia driver for nvenc is 470.57.02 or newer"),
        lost_libraries=("libnvidia-encode",),
    ),
    Failure("no nvidiactl", (NO_DEVICE,), (NO_DEVICE,), lost_nodes=("nvidiactl",)),
    Failure("no nvidia0", (NO_DEVICE,), (NO_DEVICE,), lost_nodes=("nvidia0",)),
    Failure("no nvidia-uvm", (UNKNOWN,), (UNKNOWN,), lost_nodes=("nvidia-uvm",)),
    Failure("stale nvidia-uvm major", (UNKNOWN,), (UNKNOWN,), {"uvm_major": "510"}),
    Failure("another kernel module", (MISMATCH,), (MISMATCH,), {"kernel": "535.183.01"}),
    Failure("cuInit 999", (UNKNOWN,), (UNKNOWN,), {"cuinit": "999"}),
    Failure(
        "no devices",
        ("No CUDA capable devices found",),
        ("failed -> CUDA_ERROR_INVALID_DEVICE: invalid device ordinal",),
        {"devices": "0"},
    ),
    Failure(
        "driver too old",
        ("Driver does not support the required nvenc API version. Required: 11.1 Found: 10.0",),
        ("Driver does not support the required nvenc API version. Required: 11.1 Found: 10.0",),
        {"api": "10.0"},
    ),
    Failure(
        "no NVENC", ("Codec not supported", NONE_CAPABLE), ("Codec not supported", NOT_FEATURED), {"codecs": "none"}
    ),
    Failure(
        "no HEVC", ("Codec not supported", NONE_CAPABLE), ("Codec not supported", NOT_FEATURED), {"codecs": "h264"}
    ),
    Failure(
        "NVENC unsupported",
        ("OpenEncodeSessionEx failed: unsupported device (2): (no details)", NONE_CAPABLE),
        ("OpenEncodeSessionEx failed: unsupported device (2): (no details)",),
        {"nvenc_open": "2"},
    ),
    Failure(
        "session limit or memory",
        ("OpenEncodeSessionEx failed: out of memory (10): (no details)", NONE_CAPABLE),
        ("OpenEncodeSessionEx failed: out of memory (10): (no details)",),
        {"nvenc_open": "10"},
    ),
    Failure(
        "CUDA out of memory",
        ("failed -> CUDA_ERROR_OUT_OF_MEMORY: out of memory", NONE_CAPABLE),
        ("failed -> CUDA_ERROR_OUT_OF_MEMORY: out of memory",),
        {"ctx": "2"},
    ),
    Failure(
        "GPU busy",
        ("failed -> CUDA_ERROR_DEVICE_UNAVAILABLE: CUDA-capable device(s) is/are busy or unavailable",),
        ("failed -> CUDA_ERROR_DEVICE_UNAVAILABLE: CUDA-capable device(s) is/are busy or unavailable",),
        {"ctx": "46"},
    ),
    Failure(
        "encoder refuses",
        ("InitializeEncoder failed: invalid param (8): ",),
        ("InitializeEncoder failed: invalid param (8): ",),
        {"nvenc_init": "8"},
    ),
    Failure(
        "GPU lost mid-run",
        ("EncodePicture failed!: generic error (20): ", "Error submitting video frame to the encoder"),
        ("EncodePicture failed!: generic error (20): ", "Error submitting video frame to the encoder"),
        {"encode_fail": "30:20"},
    ),
    Failure(
        "HEVC B frames on Pascal",
        ("Max B-frames 2 exceed 0", NONE_CAPABLE),
        ("Max B-frames 2 exceed 0", NOT_FEATURED),
        options=("-c:v", "hevc_nvenc", "-bf", "2"),
    ),
    Failure(
        "too wide",
        ("Width 8200 exceeds 8192", NONE_CAPABLE),
        ("Width 8200 exceeds 8192", NOT_FEATURED),
        options=("-vf", "scale=8200:64", "-c:v", "hevc_nvenc"),
    ),
]


@pytest.mark.parametrize("hwaccel", [False, True], ids=["software-decode", "hwaccel-cuda"])
@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: failure.name)
def test_ffmpeg_says_what_is_broken(gpu: MockGpu, failure: Failure, hwaccel: bool) -> None:
    gpu.configure(**failure.settings)
    gpu.drop_libraries(failure.lost_libraries)
    for node in failure.lost_nodes:
        del gpu.nodes[node]
    said = gpu.encode("-", *failure.options, hwaccel=hwaccel)
    for words in failure.hwaccel_words if hwaccel else failure.words:
        assert words in said.words
    assert said.code == 1


def test_a_second_gpu_is_not_there(gpu: MockGpu) -> None:
    said = gpu.encode("-", "-c:v", "hevc_nvenc", "-gpu", "1")
    assert NONE_CAPABLE in said.words
    assert said.code == 1
