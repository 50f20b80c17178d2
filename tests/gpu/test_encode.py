"""The real ffmpeg on the mock NVENC and NVDEC: what it writes is valid."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.gpu.mock_gpu import MockGpu


def _stream(path: Path) -> dict[str, Any]:
    command = ["ffprobe", "-v", "error", "-count_frames", "-show_streams", "-of", "json", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    stream: dict[str, Any] = json.loads(done.stdout)["streams"][0]
    return stream


def _decode_errors(path: Path) -> str:
    command = ["ffmpeg", "-v", "warning", "-xerror", "-i", str(path), "-f", "null", "-"]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    return done.stderr + (f"exit {done.returncode}" if done.returncode else "")


@pytest.mark.parametrize("hwaccel", [False, True], ids=["software-decode", "hwaccel-cuda"])
@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_an_encode_decodes_without_a_word(gpu: MockGpu, tmp_path: Path, codec: str, hwaccel: bool) -> None:
    out = tmp_path / "out.mkv"
    said = gpu.encode(str(out), "-pix_fmt", "yuv420p", "-c:v", f"{codec}_nvenc", "-preset", "fast", hwaccel=hwaccel)
    assert said.code == 0, said.words
    assert "frame=   60" in said.words
    stream = _stream(out)
    assert (stream["codec_name"], stream["width"], stream["height"]) == (codec, 320, 240)
    assert (stream["nb_read_frames"], stream["r_frame_rate"]) == ("60", "30/1")
    assert _decode_errors(out) == ""


@pytest.mark.parametrize(
    ("codec", "options", "stream"),
    [
        ("h264", "-pix_fmt yuv420p -profile:v baseline", "350x198 yuv420p Baseline"),
        ("h264", "-pix_fmt yuv444p", "64x48 yuv444p High 4:4:4 Predictive"),
        ("h264", "-pix_fmt yuv420p -g 7 -b:v 900k", "1920x1080 yuv420p Main"),
        ("hevc", "-pix_fmt yuv420p -g 7 -b:v 900k", "1918x1078 yuv420p Main"),
        ("hevc", "-pix_fmt p010le", "350x198 yuv420p10le Main 10"),
        ("hevc", "-pix_fmt yuv444p", "64x48 yuv444p Rext"),
    ],
)
def test_sizes_formats_and_intervals(gpu: MockGpu, tmp_path: Path, codec: str, options: str, stream: str) -> None:
    out = tmp_path / "out.mkv"
    source = f"size={stream.split(maxsplit=1)[0]}:duration=1"
    said = gpu.encode(str(out), *options.split(), "-c:v", f"{codec}_nvenc", source=source)
    assert said.code == 0, said.words
    found = _stream(out)
    assert f"{found['width']}x{found['height']} {found['pix_fmt']} {found['profile']}" == stream
    assert found["nb_read_frames"] == "30"
    assert _decode_errors(out) == ""


def test_the_asked_bit_rate_is_kept(gpu: MockGpu, tmp_path: Path) -> None:
    out = tmp_path / "out.mkv"
    gpu.encode(str(out), "-pix_fmt", "yuv420p", "-c:v", "hevc_nvenc", "-b:v", "2M")
    assert out.stat().st_size * 8 / 2 == pytest.approx(2_000_000, rel=0.1)


@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_nvdec_decodes_what_nvenc_wrote(gpu: MockGpu, tmp_path: Path, codec: str) -> None:
    out = tmp_path / "in.mkv"
    gpu.encode(str(out), "-pix_fmt", "yuv420p", "-c:v", f"{codec}_nvenc")
    said = gpu.ffmpeg(
        "-v", "verbose", "-hwaccel", "cuda", "-hwaccel_output_format", "cuda", "-i", str(out), "-f", "null", "-"
    )
    assert said.code == 0, said.words
    assert "pix_fmt:cuda" in said.words or "cuda(" in said.words


def test_without_nvdec_ffmpeg_falls_back_in_silence(gpu: MockGpu, tmp_path: Path) -> None:
    out = tmp_path / "in.mkv"
    gpu.encode(str(out), "-pix_fmt", "yuv420p", "-c:v", "h264_nvenc")
    gpu.drop_libraries(["libnvcuvid"])
    said = gpu.ffmpeg("-hwaccel", "cuda", "-i", str(out), "-f", "null", "-")
    assert "Cannot load libnvcuvid.so.1" in said.words
    assert "Failed setup for format cuda: hwaccel initialisation returned error." in said.words
    assert said.code == 0


def test_a_picture_that_nvdec_cannot_decode_fails_the_run(gpu: MockGpu, tmp_path: Path) -> None:
    out = tmp_path / "in.mkv"
    gpu.encode(str(out), "-pix_fmt", "yuv420p", "-c:v", "h264_nvenc")
    gpu.configure(nvdec_decode=999)
    said = gpu.ffmpeg("-hwaccel", "cuda", "-i", str(out), "-f", "null", "-")
    assert "cuvidDecodePicture" in said.words
    assert said.code == 69
