"""Runs the proofs of one node: what can be asked at once is, the encoder is used by one program at a time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from talos_gpu.settings.machine import Gpu
from talos_gpu.verify import ffmpeg, inside, smi
from talos_gpu.verify.errors import ContainerLost
from talos_gpu.verify.refine import Seen, settle_encoders
from talos_gpu.verify.report import ENCODERS, Outcome, Proof
from talos_gpu.verify.said import Container, Said
from talos_gpu.verify.smi import Smi

LIMIT = 30
"""Seconds that one ffmpeg may take: a healthy one takes about one."""
_GRACE = 10.0
_QUICK = 15.0


@dataclass(frozen=True, slots=True)
class Demands:
    """What is to be proven."""

    gpu: Gpu
    floor: float | None = 1.0
    """Times real time that an encode must reach; None: any."""
    while_busy: bool = False
    """Use the encoder though another program does."""
    ffmpeg: str = "ffmpeg"
    pretended: bool = False
    limit: int = LIMIT


async def container_proofs(
    container: Container, demands: Demands, host_majors: Awaitable[Mapping[str, int] | None]
) -> tuple[Proof, ...]:
    """Every proof that is made in the container, in the order of the report; a proof that cannot run says why."""
    looked, listed, majors = await asyncio.gather(
        _run(container, inside.COMMAND, _QUICK), _run(container, smi.COMMAND, _QUICK), host_majors
    )
    found = inside.parse(looked.stdout) if isinstance(looked, Said) else inside.Inside()
    gpus = smi.parse(listed.stdout) if isinstance(listed, Said) else []
    seen = Seen(found, next((one for one in gpus if one.name == demands.gpu.model), gpus[0] if gpus else None), majors)
    proofs = [
        _judged(inside.NAME, looked, lambda said: inside.judge(said, driver=demands.gpu.driver, host_majors=majors)),
        _judged(smi.NAME, listed, lambda said: smi.judge(said, demands.gpu)),
    ]
    if seen.smi is not None and seen.smi.busy and not demands.while_busy:
        return (*proofs, *_undisturbed(seen.smi))
    return (*proofs, *settle_encoders(await _work(container, demands, seen), seen.smi))


async def _work(container: Container, demands: Demands, seen: Seen) -> tuple[Proof, ...]:
    shared = seen.smi is not None and seen.smi.busy
    judges: list[tuple[str, Sequence[str], Callable[[Said], Proof]]] = [
        (
            codec,
            ffmpeg.encode_command(codec, demands.ffmpeg),
            lambda said, codec=codec: ffmpeg.judge_encode(  # type: ignore[misc]
                codec, said, seen, floor=demands.floor, pretended=demands.pretended, shared=shared
            ),
        )
        for codec in ENCODERS
    ]
    judges.append((ffmpeg.DECODE, ffmpeg.decode_command(demands.ffmpeg), lambda s: ffmpeg.judge_decode(s, seen)))
    judges.append((ffmpeg.CUDA, ffmpeg.cuda_command(demands.ffmpeg), lambda s: ffmpeg.judge_cuda(s, seen)))
    proofs: list[Proof] = []
    for name, command, judge in judges:
        if any(proof.cause == "hangs" for proof in proofs):
            sentence = "Not tried: the program before it hung on the GPU."
            proofs.append(Proof(name, Outcome.UNKNOWN, sentence, "after-hang"))
            continue
        limited = _limited(command, demands.limit, seen)
        said = await _run(container, limited, demands.limit + _GRACE)
        proofs.append(_judged(name, _unlimited(said, command), judge))
    return tuple(proofs)


def _limited(command: Sequence[str], limit: int, seen: Seen) -> Sequence[str]:
    """The command under a limit that holds in the container too: a hung encoder ignores SIGTERM."""
    return ("timeout", "-k", "1", str(limit), *command) if "timeout" in seen.inside.tools else command


def _unlimited(said: Said | ContainerLost, command: Sequence[str]) -> Said | ContainerLost:
    return replace(said, command=tuple(command)) if isinstance(said, Said) else said


async def _run(container: Container, command: Sequence[str], seconds: float) -> Said | ContainerLost:
    started = time.monotonic()
    try:
        said = await container.run(command, seconds)
    except ContainerLost as error:
        return error
    return replace(said, seconds=round(time.monotonic() - started, 3))


def _judged(name: str, said: Said | ContainerLost, judge: Callable[[Said], Proof]) -> Proof:
    if isinstance(said, Said):
        return judge(said)
    sentence = f"It could not be tried: {said.message}"
    return Proof(name, Outcome.UNKNOWN, sentence, "container-lost", said.remedy)


def _undisturbed(gpu: Smi) -> tuple[Proof, ...]:
    what = f"{gpu.sessions} session{'s' if gpu.sessions != 1 else ''}" if gpu.sessions else "another program"
    sentence = f"Not tried: the encoder is busy with {what}, which was not disturbed."
    remedy = "run it again when the transcode is done, or with --while-busy"
    return tuple(
        Proof(name, Outcome.UNKNOWN, sentence, "busy", remedy) for name in (*ENCODERS, ffmpeg.DECODE, ffmpeg.CUDA)
    )
