"""Specs on a stack's node, over the Talos API, with the facts that they are to fit."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from talos_gpu.cdi import (
    Finding,
    Library,
    Resolution,
    SpecInvalid,
    SpecUnreadable,
    decode,
    freshness,
    parse,
    resolution,
)
from talos_gpu.settings.stack_file import stack_settings
from talos_gpu.talos.client import MachineClient, dialled
from talos_gpu.talos.errors import NotFound
from talos_gpu.talos.facts import read_facts
from talos_gpu.talos.host import host_facts, spec_folder


@dataclass(frozen=True, slots=True)
class Seen:
    """A spec on a node: its bytes, the CDI library of the node's containerd, and what is stale in it."""

    data: bytes
    library: Library
    stale: tuple[Finding, ...]


def read(stack: str, project: str, path: str) -> bytes:
    """A file of the stack's node (role os:admin). Raises SpecUnreadable where there is none, else TalosGpuError."""

    async def reading() -> bytes:
        async with _client(stack, project) as client:
            return await _read(client, stack, path)

    return asyncio.run(reading())


def inspect(stack: str, project: str, path: str, library: Library | None) -> Seen:
    """A spec of the stack's node, compared with what the node is like now. Errors as `read`."""

    async def looking() -> Seen:
        async with _client(stack, project) as client:
            data, node = await asyncio.gather(_read(client, stack, path), read_facts(client))
            used = library or Library.of_containerd(node.containerd or "")
            try:
                spec = parse(decode(data).text, library=used)
            except SpecInvalid:
                return Seen(data, used, ())
            return Seen(data, used, freshness(spec, await host_facts(client, node, spec)))

    return asyncio.run(looking())


def resolve(stack: str, project: str, folders: Sequence[str], library: Library | None) -> Resolution:
    """Which file gives each device on the stack's node. Errors as `read`."""

    async def looking() -> Resolution:
        async with _client(stack, project) as client:
            found = await asyncio.gather(*(spec_folder(client, folder) for folder in folders))
            used = library or Library.of_containerd((await read_facts(client)).containerd or "")
            return resolution(found, library=used)

    return asyncio.run(looking())


def _client(stack: str, project: str) -> MachineClient:
    settings = stack_settings(Path(project) / f"Pulumi.{stack}.yaml")
    node = settings.node
    return dialled(settings.talosconfig, settings.talos_context, node.endpoint or node.address, node.address)


async def _read(client: MachineClient, stack: str, path: str) -> bytes:
    try:
        return await client.read(path)
    except NotFound:
        raise SpecUnreadable(
            f"{path} on the node of {stack}: there is no such file",
            remedy="name another with --path, or make it: pulumi up",
        ) from None
