"""Specs on a stack's node, over the Talos API, with the facts that they are to fit."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from talos_gpu.cdi import (
    File,
    Finding,
    Folder,
    HostFacts,
    Library,
    Resolution,
    Spec,
    SpecInvalid,
    SpecUnreadable,
    decode,
    facts_of,
    freshness,
    ignored_because,
    parse,
    resolution,
)
from talos_gpu.settings.stack_file import stack_settings
from talos_gpu.talos.client import MachineClient, dialled
from talos_gpu.talos.errors import ApiError, NotFound
from talos_gpu.talos.facts import read_facts

_GPUS = "/proc/driver/nvidia/gpus"
_UUID = re.compile(r"^GPU UUID:\s*(GPU-[0-9a-f-]{36})\s*$", re.MULTILINE)


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
            missing, gpus = await asyncio.gather(_missing(client, spec), _gpus(client))
            host = HostFacts(
                driver=node.driver, majors=node.char_majors, missing=missing, toolkit=node.toolkit, gpus=gpus
            )
            return Seen(data, used, freshness(spec, host))

    return asyncio.run(looking())


def resolve(stack: str, project: str, folders: Sequence[str], library: Library | None) -> Resolution:
    """Which file gives each device on the stack's node. Errors as `read`."""

    async def looking() -> Resolution:
        async with _client(stack, project) as client:
            found = await asyncio.gather(*(_folder(client, folder) for folder in folders))
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


async def _folder(client: MachineClient, folder: str) -> Folder:
    try:
        entries = await client.list(folder)
    except NotFound:
        return Folder(folder)
    except ApiError as error:
        return Folder(folder, error=f"cannot be listed: {error.detail}")
    names = [entry.path for entry in entries if not entry.is_dir and "/" not in entry.path]
    return Folder(folder, tuple(await asyncio.gather(*(_file(client, folder, name) for name in names))))


async def _file(client: MachineClient, folder: str, name: str) -> File:
    if ignored_because(name):
        return File(name)
    try:
        return File(name, await client.read(f"{folder.rstrip('/')}/{name}"))
    except ApiError as error:
        return File(name, error=f"cannot be read: {error.detail}")


async def _missing(client: MachineClient, spec: Spec) -> frozenset[str]:
    """Of the paths that the spec names those that the node does not have; a folder it cannot list tells nothing."""
    needed = facts_of(spec)
    paths = {*needed.host_paths, *needed.executables}
    parents = sorted({str(PurePosixPath(path).parent) for path in paths})
    listed = await asyncio.gather(*(_names(client, parent) for parent in parents))
    names = dict(zip(parents, listed, strict=True))
    return frozenset(path for path in paths if not _has(names[str(PurePosixPath(path).parent)], path))


def _has(names: Iterable[str] | None, path: str) -> bool:
    return names is None or PurePosixPath(path).name in names


async def _names(client: MachineClient, folder: str) -> frozenset[str] | None:
    try:
        # nothing listed tells nothing: it may be a symbolic link, which the node lists as itself
        return frozenset(entry.path for entry in await client.list(folder)) or None
    except NotFound:
        return frozenset()
    except ApiError:
        return None


async def _gpus(client: MachineClient) -> frozenset[str] | None:
    """UUIDs of the GPUs, None where the driver does not tell them."""
    try:
        entries = await client.list(_GPUS)
        texts = await asyncio.gather(*(client.read(f"{_GPUS}/{entry.path}/information") for entry in entries))
    except ApiError:
        return None
    return frozenset(uuid for text in texts for uuid in _UUID.findall(text.decode(errors="replace"))) or None
