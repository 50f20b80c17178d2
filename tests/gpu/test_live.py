"""Settings changed while an encode runs, and sessions counted over processes."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.gpu.mock_gpu import MockGpu

SOURCE = "testsrc=size=320x240:rate=30:duration=600"


@contextmanager
def _encoding(gpu: MockGpu) -> Iterator[subprocess.Popen[str]]:
    command = ["ffmpeg", "-hide_banner", "-nostdin", "-nostats", "-progress", "pipe:1", "-stats_period", "0.1"]
    command += ["-f", "lavfi", "-i", SOURCE, "-pix_fmt", "yuv420p", "-c:v", "hevc_nvenc", "-f", "null", "-"]
    process = subprocess.Popen(
        gpu.command(*command),
        env=gpu.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def _wait_frame(process: subprocess.Popen[str], frame: int, deadline: float = 60) -> None:
    """Read progress until `frame` is encoded."""
    started = time.monotonic()
    assert process.stdout
    seen = ""
    while time.monotonic() - started < deadline:
        line = process.stdout.readline()
        seen = line or seen
        key, _, value = line.strip().partition("=")
        if key == "frame" and int(value) >= frame:
            return
        if not line:
            break
    raise AssertionError(f"frame {frame} was not reached; last seen: {seen!r}")


def _sessions(gpu: MockGpu) -> str:
    said = gpu.smi("--query-gpu=encoder.stats.sessionCount,utilization.encoder", "--format=csv,noheader")
    return said.words.strip()


def test_an_encode_keeps_the_pace_and_takes_up_a_new_one(gpu: MockGpu) -> None:
    """Bounds that a busy machine keeps: it may make the encode slower than its pace, never quicker."""
    gpu.configure(fps=20)
    began = time.monotonic()
    with _encoding(gpu) as process:
        _wait_frame(process, 60)
        assert time.monotonic() - began > 2.5, "quicker than its pace"
        gpu.configure(fps=0)
        _wait_frame(process, 1500, deadline=60)  # at the old pace it would take 72 s


def test_a_change_reaches_libraries_that_are_bind_mounted_out_of_a_read_only_overlay(
    gpu: MockGpu, tmp_path: Path
) -> None:
    """As on the lab's node: the libraries lie in a lower layer, CDI binds each file into the container."""
    name = "libnvidia-ml.so.535.247.01"
    for folder in ("none", "node", "container"):
        (tmp_path / folder).mkdir()
    (tmp_path / "container" / "libnvidia-ml.so.1").touch()
    script = f"""
    mount -t overlay none -o lowerdir={gpu.folder}:none node
    mount --bind node/{name} container/libnvidia-ml.so.1
    export LD_LIBRARY_PATH=$PWD/container
    while read -r _; do {gpu.folder}/nvidia-smi --query-gpu=name --format=csv,noheader; done
    """
    process = subprocess.Popen(
        gpu.command("sh", "-ec", script),
        cwd=tmp_path,
        env=gpu.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin
    assert process.stdout
    seen = []
    for model in ("Quadro P2000", "Tesla T4"):
        gpu.configure(name=model)
        process.stdin.write("\n")
        process.stdin.flush()
        seen.append(process.stdout.readline().strip())
    process.communicate(timeout=60)
    assert seen == ["Quadro P2000", "Tesla T4"]


def test_an_encode_that_runs_can_be_made_to_fail(gpu: MockGpu) -> None:
    gpu.configure(fps=50)
    with _encoding(gpu) as process:
        _wait_frame(process, 5)
        gpu.configure(fps=50, encode_fail="0:20")
        _, errors = process.communicate(timeout=60)
    assert "EncodePicture failed!: generic error (20)" in errors
    assert process.returncode == 1


def _wait_in_pause(process: subprocess.Popen[str], deadline: float = 60) -> None:
    """Wait until the process' first thread is in the system call pause (34 on x86-64)."""
    started = time.monotonic()
    seen = ""
    while time.monotonic() - started < deadline:
        seen = Path(f"/proc/{process.pid}/syscall").read_text().split()[0]
        if seen == "34":
            return
        time.sleep(0.01)
    raise AssertionError(f"not in pause; last seen system call: {seen}")


def test_an_encoder_that_hangs_ignores_sigterm(gpu: MockGpu) -> None:
    gpu.configure(fps=50)
    with _encoding(gpu) as process:
        _wait_frame(process, 5)
        gpu.configure(hang=0)
        _wait_in_pause(process)
        os.kill(process.pid, signal.SIGTERM)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.5)


def test_sessions_are_counted_over_processes_and_freed_by_a_kill(gpu: MockGpu) -> None:
    gpu.configure(fps=50)
    assert _sessions(gpu) == "0, 0 %"
    with _encoding(gpu) as process:
        _wait_frame(process, 1)
        assert _sessions(gpu) == "1, 25 %"
    assert _sessions(gpu) == "0, 0 %"


def test_the_session_limit_holds_over_processes(gpu: MockGpu) -> None:
    gpu.configure(fps=50, sessions=1)
    with _encoding(gpu) as process:
        _wait_frame(process, 1)
        said = gpu.encode("-", "-c:v", "hevc_nvenc")
        assert "OpenEncodeSessionEx failed: out of memory (10): (no details)" in said.words
        assert said.code == 1
    assert gpu.encode("-", "-c:v", "hevc_nvenc", source="size=320x240:duration=0.1").code == 0
