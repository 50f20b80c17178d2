"""All proofs of a stack's node: the spec by the Talos API, the rest in a pod, both at once."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import AsyncIterator, Coroutine, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self, TypeVar

from talos_gpu.cdi import Strategy
from talos_gpu.errors import TalosGpuError
from talos_gpu.kube.cluster import Cluster
from talos_gpu.settings import Settings
from talos_gpu.talos.client import MachineClient
from talos_gpu.talos.credentials import TalosConfig
from talos_gpu.talos.facts import NodeFacts, read_facts
from talos_gpu.talos.releases import strategy_for
from talos_gpu.verify import spec
from talos_gpu.verify.pod import PodContainer, throwaway, worker
from talos_gpu.verify.report import Outcome, Proof, Report
from talos_gpu.verify.run import Demands, container_proofs

T = TypeVar("T")
_PORT = re.compile(r":\d+$")
_PRETENDED = "(pretended"
_DRIVER_FILE = "/proc/driver/nvidia/version"


@dataclass(frozen=True, slots=True)
class Options:
    """How a person wants it."""

    pod: bool = False
    """In a throwaway pod, not in the worker."""
    image: str | None = None
    """Of the throwaway pod; default: the worker's."""
    floor: float | None = 1.0
    while_busy: bool = False
    ffmpeg: str = "ffmpeg"
    start_seconds: float = 300.0
    """How long the throwaway pod may take to run, image pull included."""


@dataclass(frozen=True, slots=True)
class _Host:
    """What the Talos API told."""

    facts: NodeFacts | None
    pretended: bool


async def verify(stack: str, settings: Settings, options: Options) -> Report:
    """The report of a stack's node. What cannot be reached makes proofs that could not be told, never an exception."""
    started = time.monotonic()
    loop = asyncio.get_running_loop()
    host: asyncio.Future[_Host] = loop.create_future()
    spec_proof, (place, proofs) = await asyncio.gather(_spec(settings, host, started), _in_pod(settings, options, host))
    pretended = host.result().pretended
    return Report(
        stack=stack,
        node=settings.node.name,
        place=place,
        proofs=(spec_proof, *proofs),
        needs_encoder=settings.tdarr is not None,
        pretended=pretended,
        seconds=round(time.monotonic() - started, 3),
        notes=("speeds were measured on a pretended GPU and say nothing about hardware",) if pretended else (),
    )


async def _spec(settings: Settings, host: asyncio.Future[_Host], started: float) -> Proof:
    method = settings.cdi.method
    try:
        async with _machine(settings) as client, _Asked() as asked:
            facts = asked.start(read_facts(client))
            pretended = asked.start(_pretended(client))
            path = spec.NATIVE if method == "native" else spec.INSTALLED
            looking = asked.start(spec.read_host_spec(client, path, facts)) if _has_spec(method) else None
            host.set_result(_Host(await facts, await pretended))
            if looking is None:
                return spec.skipped(method)
            return spec.judge(await looking, _strategy(settings), _since(started))
    except TalosGpuError as error:
        return spec.could_not_read(error, _since(started))
    finally:
        if not host.done():
            host.set_result(_Host(None, pretended=False))


class _Asked:
    """Calls under way together; where one fails, the rest are ended with it and their own failures are not told."""

    def __init__(self) -> None:
        self._tasks: list[asyncio.Task[Any]] = []

    def start(self, call: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(call)
        self._tasks.append(task)
        return task

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_raised: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def _has_spec(method: str) -> bool:
    return method in ("spec", "native")


def _strategy(settings: Settings) -> Strategy:
    if settings.cdi.hook != "auto":
        return Strategy(settings.cdi.hook)
    return strategy_for(settings.node.release).hook


async def _pretended(client: MachineClient) -> bool:
    try:
        return _PRETENDED in (await client.read(_DRIVER_FILE)).decode(errors="replace")
    except TalosGpuError:
        return False


def _machine(settings: Settings) -> MachineClient:
    node = settings.node
    endpoint = node.endpoint or node.address
    forwarded = node.address if _PORT.sub("", endpoint).strip("[]") != node.address else None
    return MachineClient(TalosConfig.load(settings.talosconfig or None), endpoint, forwarded)


async def _in_pod(settings: Settings, options: Options, host: asyncio.Future[_Host]) -> tuple[str, tuple[Proof, ...]]:
    try:
        async with Cluster(settings.kubeconfig or None) as cluster, _container(cluster, settings, options) as container:
            demands = Demands(settings.node.gpu, options.floor, options.while_busy, options.ffmpeg)
            demands = replace(demands, pretended=(await asyncio.shield(host)).pretended)
            proofs = await container_proofs(container, demands, _majors(host))
            return f"pod {container.namespace}/{container.name}", proofs
    except TalosGpuError as error:
        return "", (Proof("pod", Outcome.UNKNOWN, error.message, "no-pod", error.remedy),)


async def _majors(host: asyncio.Future[_Host]) -> Mapping[str, int] | None:
    facts = (await asyncio.shield(host)).facts
    return facts.char_majors if facts is not None else None


@contextlib.asynccontextmanager
async def _container(cluster: Cluster, settings: Settings, options: Options) -> AsyncIterator[PodContainer]:
    if not options.pod:
        yield await worker(cluster, settings)
        return
    image = options.image or (settings.tdarr.image if settings.tdarr is not None else "")
    if not image:
        raise TalosGpuError("the stack has no worker, so no image with ffmpeg is known", remedy="--pod --image IMAGE")
    async with throwaway(cluster, settings, image, options.start_seconds) as container:
        yield container


def _since(started: float) -> float:
    return round(time.monotonic() - started, 3)
