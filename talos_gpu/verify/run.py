"""Runs the proofs of one node: what can be asked at once is, the encoder is used by one program at a time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from talos_gpu.kube.quiet import BUSY
from talos_gpu.verify import ffmpeg, inside, smi
from talos_gpu.verify.errors import ContainerLost
from talos_gpu.verify.inside import Inside
from talos_gpu.verify.refine import Seen, settle_encoders
from talos_gpu.verify.report import ENCODERS, Outcome, Proof
from talos_gpu.verify.said import Container, Said
from talos_gpu.verify.smi import Smi

LIMIT = 30
"""Seconds that one ffmpeg may take: a healthy one takes about one."""
_GRACE = 10.0
_QUICK = 15.0
_TAKEN = "CUDA_ERROR_DEVICE_UNAVAILABLE"


@dataclass(frozen=True, slots=True)
class Demands:
    """What is to be proven."""

    model: str
    driver: str
    memory_mib: int
    floor: float | None = 1.0
    """Times real time that an encode must reach; None: any."""
    while_busy: bool = False
    """Use the encoder though another program does."""
    ffmpeg: str = "ffmpeg"
    limit: int = LIMIT


@dataclass(frozen=True, slots=True)
class Host:
    """What the node itself tells."""

    majors: Mapping[str, int] | None = None
    """Its character majors by driver; None: not known."""
    pretended: bool = False


async def container_proofs(
    container: Container, demands: Demands, host: Awaitable[Host], begun: Callable[[], None] = lambda: None
) -> tuple[Proof, ...]:
    """Every proof that is made in the container, in the order of the report; a proof that cannot run says why.

    `begun` is called when nothing more is to be prepared before the work; only then is `host` awaited.
    """
    looked, listed = await asyncio.gather(_run(container, inside.COMMAND, _QUICK), _run(container, smi.COMMAND, _QUICK))
    found = inside.parse(looked.stdout) if isinstance(looked, Said) else inside.Inside()
    gpus = smi.parse(listed.stdout) if isinstance(listed, Said) else []
    busy = next((one for one in gpus if one.busy), None)
    others = _sessions(busy) if busy is not None else await _transcoders(container, looked, gpus)
    begun()
    undisturbed = bool(others) and not demands.while_busy
    ran = [] if undisturbed else await _work(container, demands, found)
    facts = await host
    own = next((one for one in gpus if one.name == demands.model), gpus[0] if gpus else None)
    seen = Seen(found, busy or own, facts.majors)
    proofs = (
        _judged(inside.NAME, looked, lambda said: inside.judge(said, demands.driver, facts.majors)),
        _judged(smi.NAME, listed, lambda said: smi.judge(said, demands.model, demands.driver, demands.memory_mib)),
    )
    if undisturbed:
        return (*proofs, *_undisturbed(others))
    judges = _judges(demands, seen, pretended=facts.pretended, shared=bool(others))
    work = tuple(_judged(name, said, judges[name]) if said else _not_tried(name) for name, said in ran)
    return (*proofs, *settle_encoders(work, own))


async def _work(container: Container, demands: Demands, found: Inside) -> list[tuple[str, Said | ContainerLost | None]]:
    """How each of ffmpeg's runs went; None: not tried, for one before it hung.

    The encodes are made one after the other and alone, for their speed is judged; decoder and CUDA are then tried
    together.
    """

    async def run(command: Sequence[str]) -> Said | ContainerLost:
        said = await _run(container, _limited(command, demands.limit, found), demands.limit + _GRACE)
        return replace(said, command=tuple(command)) if isinstance(said, Said) else said

    ran: list[tuple[str, Said | ContainerLost | None]] = []
    hung = False
    for codec in ENCODERS:
        said = None if hung else await run(ffmpeg.encode_command(codec, demands.ffmpeg))
        hung = hung or (isinstance(said, Said) and said.killed)
        ran.append((codec, said))
    if hung:
        return [*ran, (ffmpeg.DECODE, None), (ffmpeg.CUDA, None)]
    others = [ffmpeg.decode_command(demands.ffmpeg), ffmpeg.cuda_command(demands.ffmpeg)]
    both: list[Said | ContainerLost] = list(await asyncio.gather(*map(run, others)))
    if any(isinstance(said, Said) and _TAKEN in said.words for said in both):
        both = [await run(command) for command in others]  # in exclusive compute mode a GPU has one program at a time
    return [*ran, *zip((ffmpeg.DECODE, ffmpeg.CUDA), both, strict=True)]


def _judges(demands: Demands, seen: Seen, *, pretended: bool, shared: bool) -> Mapping[str, Callable[[Said], Proof]]:
    def encoder(codec: str) -> Callable[[Said], Proof]:
        return lambda said: ffmpeg.judge_encode(
            codec, said, seen, floor=demands.floor, pretended=pretended, shared=shared
        )

    return {
        **{codec: encoder(codec) for codec in ENCODERS},
        ffmpeg.DECODE: lambda said: ffmpeg.judge_decode(said, seen),
        ffmpeg.CUDA: lambda said: ffmpeg.judge_cuda(said, seen),
    }


def _not_tried(name: str) -> Proof:
    return Proof(name, Outcome.UNKNOWN, "Not tried: the program before it hung on the GPU.", "after-hang")


def _limited(command: Sequence[str], limit: int, found: Inside) -> Sequence[str]:
    """The command under a limit that holds in the container too: a hung encoder ignores SIGTERM."""
    return ("timeout", "-k", "1", str(limit), *command) if "timeout" in found.tools else command


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


def _sessions(gpu: Smi) -> str:
    what = f"{gpu.sessions} session{'s' if gpu.sessions != 1 else ''}" if gpu.sessions else "another program"
    return f"the encoder is busy with {what}, which was not disturbed"


async def _transcoders(container: Container, looked: Said | ContainerLost, gpus: Sequence[Smi]) -> str:
    """What runs in the container where nvidia-smi does not tell of the encoder; "" for nothing, or nothing known."""
    if isinstance(looked, ContainerLost) or (gpus and all(one.tells for one in gpus)):
        return ""
    said = await _run(container, ("sh", "-c", BUSY), _QUICK)
    found = dict.fromkeys(said.stdout.splitlines()) if isinstance(said, Said) else {}
    if not found:
        return ""
    return f"nvidia-smi does not tell of the encoder, and there is {', '.join(found)}, which was not disturbed"


def _undisturbed(why: str) -> tuple[Proof, ...]:
    remedy = "run it again when the transcode is done, or with --while-busy"
    return tuple(
        Proof(name, Outcome.UNKNOWN, f"Not tried: {why}.", "busy", remedy)
        for name in (*ENCODERS, ffmpeg.DECODE, ffmpeg.CUDA)
    )
