"""The node's side of a verification, by the Talos API: the spec's proof, and facts for the other proofs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from typing import Any, Self, TypeVar

from talos_gpu.cdi import Strategy
from talos_gpu.cdi.strategy import strategy_on
from talos_gpu.errors import TalosGpuError
from talos_gpu.talos.client import MachineClient, dialled
from talos_gpu.talos.facts import NodeFacts, read_facts
from talos_gpu.talos.releases import strategy_for
from talos_gpu.verify import spec
from talos_gpu.verify.report import Proof
from talos_gpu.verify.run import Host
from talos_gpu.verify.subject import Credentials, Subject

T = TypeVar("T")
_PRETENDED = "(pretended"
_DRIVER_FILE = "/proc/driver/nvidia/version"


async def look(subject: Subject, credentials: Credentials, host: asyncio.Future[Host]) -> Proof:
    """The spec's proof; `host` is resolved as soon as its facts are known, to an empty one where they cannot be."""
    started = time.monotonic()
    try:
        async with _dialled(subject, credentials) as client, _Asked() as asked:
            facts = asked.start(read_facts(client))
            pretended = asked.start(_pretended(client))
            looking = asked.start(_read(client, subject, facts)) if _has_spec(subject.method) else None
            host.set_result(Host((await facts).char_majors, await pretended))
            if looking is None:
                return spec.skipped(subject.method)
            found = await looking
            return spec.judge(found, _strategy(subject, found.binaries), _since(started))
    except TalosGpuError as error:
        return spec.could_not_read(error, _since(started))
    finally:
        if not host.done():
            host.set_result(Host())


def _dialled(subject: Subject, credentials: Credentials) -> MachineClient:
    return dialled(credentials.talosconfig, credentials.talos_context, subject.endpoint, subject.address)


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


async def _read(client: MachineClient, subject: Subject, facts: asyncio.Task[NodeFacts]) -> spec.HostSpec:
    path = spec.NATIVE if subject.method == "native" else spec.INSTALLED
    return await spec.read_host_spec(client, path, strategy_for(subject.release).cdi_spec_dirs_default, facts)


def _strategy(subject: Subject, binaries: frozenset[str]) -> Strategy:
    return strategy_on(subject.hook, binaries, strategy_for(subject.release).hook)


async def _pretended(client: MachineClient) -> bool:
    try:
        return _PRETENDED in (await client.read(_DRIVER_FILE)).decode(errors="replace")
    except TalosGpuError:
        return False


def _since(started: float) -> float:
    return round(time.monotonic() - started, 3)
