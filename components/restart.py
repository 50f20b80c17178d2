"""A restart of the node that is asked for: made quiet before, freed after, whatever happened in between."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from components.access import Access
from components.dynamic import Props, target, tell
from components.names import NODE_LABEL
from components.tdarr import APP
from talos_gpu.errors import TalosGpuError
from talos_gpu.kube.errors import ClusterRefused, ClusterUnreachable
from talos_gpu.kube.quiet import Quieting, free, quiet
from talos_gpu.talos.facts import read_facts

_FREE_SECONDS = 120.0
"""How long the API server may be away after a restart before uncordoning is given up."""
_POLL = 1.0


class NodeStaysCordoned(TalosGpuError):
    """The node could not be uncordoned."""

    def __init__(self, node: str, why: str) -> None:
        super().__init__(
            f"{node} is still cordoned, and could not be freed: {why}",
            remedy=f"kubectl uncordon {node}; every further `pulumi up` that applies the machine config tries it too",
        )


async def restart(access: Access, props: Props) -> None:
    """Make the node quiet and ask for its restart, unless it has restarted since `boot_id_before`."""
    async with access.machine(target(props)) as client:
        if (await read_facts(client)).boot_id not in {None, props["boot_id_before"]}:
            return
    how = props["before_restart"]
    if how["cordon"]:
        async with access.cluster() as cluster:
            await quiet(cluster, props["node"], worker(props["node"]), quieting(props), tell)
    async with access.machine(target(props)) as client:
        await client.reboot()


@asynccontextmanager
async def freed(access: Access, node: str) -> AsyncIterator[None]:
    """Uncordon the node at the end of the block if it was cordoned here; a failure of the block is what is raised."""
    try:
        yield
    except BaseException:
        try:
            await _free(access, node)
        except NodeStaysCordoned as error:
            tell(str(error))
        raise
    await _free(access, node)


async def _free(access: Access, node: str) -> None:
    until = time.monotonic() + _FREE_SECONDS
    while True:
        try:
            async with access.cluster() as cluster:
                if await free(cluster, node):
                    tell(f"{node} is uncordoned")
                return
        except (ClusterUnreachable, ClusterRefused) as error:
            if time.monotonic() >= until:
                raise NodeStaysCordoned(node, error.message) from None
        await asyncio.sleep(_POLL)


def worker(node: str) -> str:
    """The selector of the node's worker."""
    return f"app={APP},{NODE_LABEL}={node}"


def quieting(props: Props) -> Quieting:
    """How the stack wants its node made quiet."""
    how = props["before_restart"]
    return Quieting(
        encode_deadline_s=float(how["encode_deadline_s"]),
        on_deadline=how["on_deadline"],
        drain=bool(how["drain"]),
        drain_deadline_s=float(how["drain_deadline_s"]),
        images=tuple(how["images"]) if how["pull_images"] else (),
    )
