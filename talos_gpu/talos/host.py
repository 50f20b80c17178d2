"""What a CDI spec is compared with on its node, and the specs beside it, read over the Talos API."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from talos_gpu import cdi
from talos_gpu.talos.errors import ApiError, NotFound

if TYPE_CHECKING:
    from talos_gpu.talos.client import MachineClient
    from talos_gpu.talos.facts import NodeFacts

_GPUS = "/proc/driver/nvidia/gpus"
_UUID = re.compile(r"^GPU UUID:\s*(GPU-[0-9a-f-]{36})\s*$", re.MULTILINE)


async def host_facts(client: MachineClient, node: NodeFacts, spec: cdi.Spec) -> cdi.HostFacts:
    """The node as a spec is to fit it (role os:admin): `node`'s facts, what the spec names and is not there, the GPUs.

    A folder that cannot be listed, or GPUs of which one does not tell its UUID, are not compared. `nodes` stays None:
    the Talos API lists a device node without its numbers (machine.FileInfo).
    """
    missing, gpus = await asyncio.gather(_missing(client, spec), _gpus(client))
    return cdi.HostFacts(driver=node.driver, majors=node.char_majors, missing=missing, toolkit=node.toolkit, gpus=gpus)


async def _missing(client: MachineClient, spec: cdi.Spec) -> frozenset[str]:
    """Of the paths that the spec names those that the node does not have; a folder it cannot list tells nothing."""
    needed = cdi.facts_of(spec)
    paths = {*needed.host_paths, *needed.executables}
    parents = sorted({str(PurePosixPath(path).parent) for path in paths})
    listed = await asyncio.gather(*(names_in(client, parent) for parent in parents))
    names = dict(zip(parents, listed, strict=True))
    return frozenset(path for path in paths if not _has(names[str(PurePosixPath(path).parent)], path))


def _has(names: Iterable[str] | None, path: str) -> bool:
    return names is None or PurePosixPath(path).name in names


async def names_in(client: MachineClient, folder: str) -> frozenset[str] | None:
    """Names in a folder of the node; empty where it is not there, None where nothing can be said of its files."""
    try:
        # nothing listed tells nothing: it may be a symbolic link, which the node lists as itself
        return frozenset(entry.path for entry in await client.list(folder)) or None
    except NotFound:
        return frozenset()
    except ApiError:
        return None  # not to be looked at with this role


async def spec_folder(client: MachineClient, folder: str) -> cdi.Folder:
    """A folder of CDI specs as `cdi.resolution` takes it; what cannot be listed or read says so in its `error`."""
    try:
        entries = await client.list(folder)
    except NotFound:
        return cdi.Folder(folder)
    except ApiError as error:
        return cdi.Folder(folder, error=f"cannot be listed: {error.detail}")
    names = [entry.path for entry in entries if not entry.is_dir and "/" not in entry.path]
    return cdi.Folder(folder, tuple(await asyncio.gather(*(_spec_file(client, folder, name) for name in names))))


async def _spec_file(client: MachineClient, folder: str, name: str) -> cdi.File:
    if cdi.ignored_because(name):
        return cdi.File(name)
    try:
        return cdi.File(name, await client.read(f"{folder.rstrip('/')}/{name}"))
    except ApiError as error:
        return cdi.File(name, error=f"cannot be read: {error.detail}")


async def _gpus(client: MachineClient) -> frozenset[str] | None:
    """UUIDs of the GPUs, None where the driver does not tell all: `GPU-????????-...` until it has initialised one."""
    try:
        entries = await client.list(_GPUS)
        texts = await asyncio.gather(*(client.read(f"{_GPUS}/{entry.path}/information") for entry in entries))
    except ApiError:
        return None
    told = [_UUID.search(text.decode(errors="replace")) for text in texts]
    return frozenset(uuid[1] for uuid in told if uuid is not None) if told and all(told) else None
