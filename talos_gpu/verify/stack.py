"""All proofs of a node: the work in a pod, and while it is done the spec by the Talos API."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from importlib import import_module

from talos_gpu.errors import TalosGpuError
from talos_gpu.kube.cluster import Cluster
from talos_gpu.verify.pod import PodContainer, throwaway, worker
from talos_gpu.verify.report import Outcome, Proof, Report
from talos_gpu.verify.run import Demands, Host, container_proofs
from talos_gpu.verify.subject import Credentials, Subject

_HOST = "talos_gpu.verify.host"


@dataclass(frozen=True, slots=True)
class Options:
    """How a person wants it."""

    pod: bool = False
    """In a throwaway pod, not in the worker."""
    image: str | None = None
    """Of the throwaway pod; default: the worker's."""
    floor: float | None = None
    """Times real time, 0: any; None: the stack's."""
    while_busy: bool = False
    ffmpeg: str = "ffmpeg"
    start_seconds: float = 300.0
    """How long the throwaway pod may take to run, image pull included."""


async def verify(stack: str, subject: Subject, credentials: Credentials, options: Options) -> Report:
    """The report of a node. What cannot be reached makes proofs that could not be told, never an exception."""
    started = time.monotonic()
    host: asyncio.Future[Host] = asyncio.get_running_loop().create_future()
    begun = asyncio.Event()
    notes: list[str] = []
    spec_proof, (place, proofs) = await asyncio.gather(
        _spec(subject, credentials, host, begun), _in_pod(subject, credentials, options, host, begun, note=notes.append)
    )
    pretended = host.result().pretended
    if pretended:
        notes.append("speeds were measured on a pretended GPU and say nothing about hardware")
    return Report(
        stack=stack,
        node=subject.node,
        place=place,
        proofs=(spec_proof, *proofs),
        needs_encoder=subject.namespace is not None,
        pretended=pretended,
        seconds=round(time.monotonic() - started, 3),
        notes=tuple(notes),
    )


async def _spec(subject: Subject, credentials: Credentials, host: asyncio.Future[Host], begun: asyncio.Event) -> Proof:
    """The Talos side, imported and asked while the container works: it costs that work no time."""
    await begun.wait()
    module = await asyncio.to_thread(import_module, _HOST)
    proof: Proof = await module.look(subject, credentials, host)
    return proof


async def _in_pod(
    subject: Subject,
    credentials: Credentials,
    options: Options,
    host: asyncio.Future[Host],
    begun: asyncio.Event,
    *,
    note: Callable[[str], None],
) -> tuple[str, tuple[Proof, ...]]:
    try:
        async with (
            Cluster(credentials.kubeconfig or None, connect=False) as cluster,
            _container(cluster, subject, options, note) as container,
        ):
            floor = subject.encode_floor if options.floor is None else options.floor
            demands = Demands(
                subject.model, subject.driver, subject.memory_mib, floor or None, options.while_busy, options.ffmpeg
            )
            proofs = await container_proofs(container, demands, host, begun.set)
            return f"pod {container.namespace}/{container.name}", proofs
    except TalosGpuError as error:
        return "", (Proof("pod", Outcome.UNKNOWN, error.message, "no-pod", error.remedy),)
    finally:
        begun.set()


@contextlib.asynccontextmanager
async def _container(
    cluster: Cluster, subject: Subject, options: Options, note: Callable[[str], None]
) -> AsyncIterator[PodContainer]:
    if not options.pod:
        yield await worker(cluster, subject)
        return
    image = options.image or subject.image
    if not image:
        raise TalosGpuError("the stack has no worker, so no image with ffmpeg is known", remedy="--pod --image IMAGE")
    async with throwaway(cluster, subject, image, options.start_seconds, note) as container:
        yield container
