"""A restart of the node that is asked for: made quiet before, freed after, whatever happened in between."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from components.access import Access
from components.dynamic import Props, target, tell
from components.names import NODE_LABEL, WORKER
from components.restart_allowed import STAYS_STAGED, require_allowed
from talos_gpu.errors import TalosGpuError
from talos_gpu.kube.errors import ClusterRefused, ClusterUnreachable
from talos_gpu.kube.quiet import Quieting, free, quiet
from talos_gpu.talos.facts import read_facts

_FREE_SECONDS = 120.0
"""How long the API server may be away after a restart before uncordoning is given up."""
_POLL = 1.0
_STAGED = "its machine config is staged and holds from the next boot on"


class NodeStaysCordoned(TalosGpuError):
    """It could not be seen to that the node is uncordoned."""

    def __init__(self, node: str, why: str) -> None:
        super().__init__(
            f"{node} may still be cordoned, and could not be freed: {why}",
            remedy=f"kubectl uncordon {node}; every further `pulumi up` that applies the machine config tries it too",
        )


@dataclass
class Freeing:
    """What the end of a restart has to see to."""

    cordoned: bool = False
    """Whether the node may be cordoned by this very run."""


async def restart(access: Access, props: Props, freeing: Freeing) -> None:
    """Make the node quiet and ask for its restart, unless it has restarted since `boot_id_before`.

    Raises RebootForbidden or OutsideWindow before anything is changed: the `up` that has staged the config may be long
    ago, and MachineState, which looks at both before an apply, has nothing to do then.
    """
    async with access.machine(target(props)) as client:
        if (await read_facts(client)).boot_id not in {None, props["boot_id_before"]}:
            return
    require_allowed(props, _STAGED, STAYS_STAGED)
    how = props["before_restart"]
    if how["cordon"]:
        async with access.cluster() as cluster:
            freeing.cordoned = True
            await quiet(cluster, props["node"], worker(props["node"]), quieting(props), tell)
    async with access.machine(target(props)) as client:
        await client.reboot()


@asynccontextmanager
async def freed(access: Access, node: str) -> AsyncIterator[Freeing]:
    """Uncordon the node at the end of the block if it was cordoned here, now or by a run that was killed.

    A failure of the block is what is raised; that of the uncordoning is told beside it.
    """
    freeing = Freeing()
    try:
        yield freeing
    except BaseException:
        try:
            await _free(access, node, _FREE_SECONDS if freeing.cordoned else 0.0)
        except TalosGpuError as error:
            if freeing.cordoned:
                tell(str(error))
        raise
    await _free(access, node, _FREE_SECONDS)


async def _free(access: Access, node: str, seconds: float) -> None:
    until = time.monotonic() + seconds
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
    return f"app={WORKER},{NODE_LABEL}={node}"


def quieting(props: Props) -> Quieting:
    """How the stack wants its node made quiet."""
    how = props["before_restart"]
    return Quieting(
        encode_deadline_s=float(how["encode_deadline_s"]),
        on_deadline=how["on_deadline"],
        drain=bool(how["drain"]),
        drain_deadline_s=float(how["drain_deadline_s"]),
        images=tuple(how["images"]) if how["pull_images"] else (),
        adopts=props.get("adopts", ""),
    )
