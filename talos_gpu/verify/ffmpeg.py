"""The proofs by work: encode, decode, CUDA; the commands, and what their words mean."""

from __future__ import annotations

import re

from talos_gpu.verify.progress import Progress, parse
from talos_gpu.verify.refine import Seen, refine
from talos_gpu.verify.report import Outcome, Proof, Speed
from talos_gpu.verify.said import Said
from talos_gpu.verify.sample import CLIP, CLIP_FRAMES
from talos_gpu.verify.words import cause_of

RATE = 30.0
SECONDS = 2
FRAMES = int(RATE) * SECONDS
CUDA_FRAMES = 6
DECODE, CUDA = "decode", "cuda"
_BEGIN = ("-hide_banner", "-nostdin", "-nostats", "-progress", "pipe:1")
_NULL = ("-f", "null", "-")
_NOT_FOUND = (126, 127)
_ABSENT = ("ffmpeg-without-cuda", "ffmpeg-without-nvenc")
_FALL_BACK = re.compile(r"Failed setup for format cuda|pix_fmt: (?!cuda)\w+\s*$", re.MULTILINE)
_PIX_FMT = re.compile(r"Reinit context to \d+x\d+, pix_fmt: (\w+)")


def encode_command(codec: str, ffmpeg: str = "ffmpeg") -> tuple[str, ...]:
    """Two seconds of a test picture, 720p at 30 a second, 4:2:0 as every player wants it; leaves nothing behind."""
    source = f"testsrc=duration={SECONDS}:size=1280x720:rate={RATE:g}"
    hw = ("-hwaccel", "cuda", "-f", "lavfi", "-i", source)
    return (ffmpeg, *_BEGIN, *hw, "-pix_fmt", "yuv420p", "-c:v", codec, "-preset", "fast", *_NULL)


def decode_command(ffmpeg: str = "ffmpeg") -> tuple[str, ...]:
    """A clip of 30 pictures, H.264, which comes with the command; verbose, for the log tells who decoded."""
    clip = ("-f", "h264", "-i", f"data:video/h264;base64,{CLIP}")
    return (ffmpeg, *_BEGIN, "-v", "verbose", "-hwaccel", "cuda", *clip, *_NULL)


def cuda_command(ffmpeg: str = "ffmpeg") -> tuple[str, ...]:
    """Pictures scaled by a CUDA kernel, which the driver compiles first."""
    source = f"testsrc=size=640x360:rate={RATE:g}:duration={CUDA_FRAMES / RATE:g}"
    scale = "format=yuv420p,hwupload_cuda,scale_cuda=320:180,hwdownload,format=yuv420p"
    device = ("-init_hw_device", "cuda=gpu:0", "-filter_hw_device", "gpu")
    return (ffmpeg, *_BEGIN, *device, "-f", "lavfi", "-i", source, "-vf", scale, *_NULL)


def judge_encode(
    codec: str, said: Said, seen: Seen, *, floor: float | None, pretended: bool, shared: bool = False
) -> Proof:
    """All pictures encoded, at `floor` times real time or more (not demanded of an encoder that is `shared`)."""
    failed = _failure(codec, said, seen)
    if failed is not None:
        return failed
    progress = parse(said.stdout, RATE)
    if progress.frames != FRAMES:
        return _incomplete(codec, said, progress, FRAMES)
    demanded = None if shared else floor
    speed = Speed(progress.frames, progress.fps, progress.speed or 0.0, demanded, pretended)
    if progress.speed is None:
        sentence = f"{FRAMES} frames encoded; ffmpeg did not say how fast."
        return _proof(codec, Outcome.UNKNOWN, sentence, said, cause="no-speed", speed=speed)
    how = f"{progress.speed:g}x real time ({progress.fps:g} fps{', pretended' if pretended else ''})"
    if demanded is not None and progress.speed < demanded:
        sentence = f"The GPU encodes, but slowly: {how}, the stack demands {demanded:g}x."
        remedy = "nvidia-smi -q -d PERFORMANCE,CLOCK tells of throttling; lower the floor if this card is that slow"
        return _proof(codec, Outcome.DISPROVEN, sentence, said, cause="slow", remedy=remedy, speed=speed)
    with_others = ", beside other sessions, so no floor was applied" if shared else ""
    sentence = f"{FRAMES} frames encoded by {codec} at {how}{with_others}."
    return _proof(codec, Outcome.PROVEN, sentence, said, speed=speed)


def judge_decode(said: Said, seen: Seen) -> Proof:
    """All pictures decoded, and by NVDEC: ffmpeg falls back to software with exit code 0."""
    formats = _PIX_FMT.findall(said.words)
    fell_back = "Failed setup for format cuda" in said.words or formats[-1:] not in ([], ["cuda"])
    if said.rc == 0 and fell_back:
        cause = cause_of(said.words)
        because = f" {cause.sentence}" if cause else ""
        sentence = f"ffmpeg fell back to software decoding and still ended with 0.{because}"
        remedy = cause.remedy if cause else ""
        return _proof(
            DECODE, Outcome.DISPROVEN, sentence, said, cause=cause.name if cause else "software-decode", remedy=remedy
        )
    failed = _failure(DECODE, said, seen)
    if failed is not None:
        return failed
    progress = parse(said.stdout, RATE)
    if progress.frames != CLIP_FRAMES:
        return _incomplete(DECODE, said, progress, CLIP_FRAMES)
    if formats[-1:] != ["cuda"]:
        sentence = "All frames were decoded, and ffmpeg's log does not say by whom."
        return _proof(DECODE, Outcome.UNKNOWN, sentence, said, cause="decoder-unnamed")
    return _proof(DECODE, Outcome.PROVEN, f"{CLIP_FRAMES} frames of H.264 decoded by NVDEC.", said)


def judge_cuda(said: Said, seen: Seen) -> Proof:
    """A CUDA kernel was compiled and has run; skipped where the image's ffmpeg has no CUDA filters."""
    failed = _failure(CUDA, said, seen)
    if failed is not None and failed.cause == "ffmpeg-without-cuda":
        sentence = "The image's ffmpeg has no CUDA filters, so CUDA was not tried by itself."
        return _proof(CUDA, Outcome.SKIPPED, sentence, said, cause="ffmpeg-without-cuda")
    if failed is not None:
        return failed
    progress = parse(said.stdout, RATE)
    if progress.frames != CUDA_FRAMES:
        return _incomplete(CUDA, said, progress, CUDA_FRAMES)
    return _proof(CUDA, Outcome.PROVEN, "A CUDA kernel was compiled by the driver and ran.", said)


def _failure(name: str, said: Said, seen: Seen) -> Proof | None:
    if said.rc == 0:
        return None
    if said.killed:
        frames = parse(said.stdout, RATE).frames
        sentence = f"ffmpeg hung after {frames} frames and was killed: the {_unit(name)} does not come back."
        return _proof(
            name,
            Outcome.DISPROVEN,
            sentence,
            said,
            cause="hangs",
            remedy="reboot the node; talosctl dmesg | grep -i xid",
        )
    if said.rc in _NOT_FOUND:
        sentence = f"The container has no {said.command[0]}: nothing can be proven in it."
        remedy = "name the image's own ffmpeg with --ffmpeg, or use --pod --image IMAGE"
        return _proof(name, Outcome.UNKNOWN, sentence, said, cause="ffmpeg-missing", remedy=remedy)
    cause = cause_of(said.words)
    if cause is None:
        last = said.words.strip().splitlines()[-1:] or ["no words"]
        return _proof(name, Outcome.DISPROVEN, f"ffmpeg ended with {said.rc}: {last[0]}", said, cause="ffmpeg-failed")
    cause = refine(cause, seen)
    outcome = Outcome.UNKNOWN if cause.name in _ABSENT else Outcome.DISPROVEN
    return _proof(name, outcome, cause.sentence, said, cause=cause.name, remedy=cause.remedy)


def _incomplete(name: str, said: Said, progress: Progress, frames: int) -> Proof:
    sentence = f"ffmpeg ended with 0 after {progress.frames} of {frames} frames."
    return _proof(name, Outcome.DISPROVEN, sentence, said, cause="incomplete")


def _unit(name: str) -> str:
    return {DECODE: "decoder", CUDA: "GPU"}.get(name, "encoder")


def _proof(
    name: str,
    outcome: Outcome,
    sentence: str,
    said: Said,
    *,
    cause: str = "",
    remedy: str = "",
    speed: Speed | None = None,
) -> Proof:
    return Proof(name, outcome, sentence, cause, remedy, _evidence(said), said.shown, said.seconds, speed)


def _evidence(said: Said) -> tuple[str, ...]:
    """The lines that carry the meaning: errors and the decoder's choice; the run's last words where there are none."""
    lines = [line.strip() for line in said.stderr.replace("\r", "\n").splitlines() if line.strip()]
    telling = [line for line in lines if cause_of(line) or _PIX_FMT.search(line) or _FALL_BACK.search(line)]
    shown = Said(said.command, said.rc, "", "\n".join(dict.fromkeys(telling or lines[-3:])), 0.0).words
    return tuple(shown.splitlines())
