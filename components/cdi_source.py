"""CdiSource: before the generator runs, whether its spec is already there and fresh."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import pulumi
from pulumi.dynamic import CreateResult, ReadResult, Resource, UpdateResult
from typing_extensions import override

from components.drift import Cause, Drift, sentences
from components.dynamic import (
    DRIFT,
    NO_CONNECTION,
    NodeProvider,
    Props,
    drifted,
    moved,
    run,
    target,
    token,
    told_by,
    whole,
)
from components.freshness import stale, unfit
from talos_gpu import cdi
from talos_gpu.cdi.strategy import HOOK_REAL, strategy_on
from talos_gpu.errors import TalosGpuError
from talos_gpu.talos.errors import NotFound
from talos_gpu.talos.facts import SPEC_SOURCE, NodeFacts, read_facts
from talos_gpu.talos.host import host_facts
from talos_gpu.talos.releases import strategy_for

if TYPE_CHECKING:
    from talos_gpu.talos.client import MachineClient

VERSION = "1"
BINARIES = "/usr/local/bin"
_WANTED = frozenset(("node", "release", "hook"))
_GIVEN = _WANTED | {"address", "endpoint", "version", "machine_token", "reboot_pending"}


class DriverNotLoaded(TalosGpuError):
    """Without the kernel driver there is nothing to generate a spec of."""

    def __init__(self, node: str, reason: str, *, pending: bool) -> None:
        super().__init__(
            f"the NVIDIA driver is not loaded on {node}: {reason}",
            remedy=f"the staged machine config waits for a restart: talosctl -n {node} reboot, then `pulumi up` again"
            if pending
            else f"check the extension and the GPU: talosctl -n {node} get extensions; talosctl -n {node} dmesg",
        )


class HookBinaryMissing(TalosGpuError):
    """The stack asks for a hook binary that the node does not have."""

    def __init__(self, node: str) -> None:
        super().__init__(
            f"{BINARIES}/{HOOK_REAL} is not on {node}, and the stack says cdi.hook: real",
            remedy="set cdi.hook: auto, which takes what lies there",
        )


async def strategy_of(client: MachineClient, props: Props) -> cdi.Strategy:
    """The strategy of a resource's `hook` and `release`, by what lies on the node. Raises HookBinaryMissing."""
    names = frozenset(entry.name for entry in await client.list(BINARIES))
    if props["hook"] == cdi.Strategy.REAL and HOOK_REAL not in names:
        raise HookBinaryMissing(props["node"])
    return strategy_on(props["hook"], names, strategy_for(props["release"]).hook)


async def spec_file(client: MachineClient, path: str = SPEC_SOURCE) -> bytes | None:
    """A file of the node, None if it is not there (role os:admin). Raises ApiError otherwise."""
    try:
        return await client.read(path)
    except NotFound:
        return None


class CdiSourceProvider(NodeProvider):
    """Reads and compares; a new token makes the generator run again."""

    moves: ClassVar[frozenset[str]] = _WANTED | {"address", "endpoint", "version"}

    @override
    def create(self, props: Props) -> CreateResult:
        return CreateResult(f"{props['node']}-cdi-source", run(self._judge(whole(props), {})))

    @override
    def update(self, _id: str, _olds: Props, _news: Props) -> UpdateResult:
        return UpdateResult(run(self._judge(whole(_news), whole(_olds))))

    @override
    def read(self, id_: str, props: Props) -> ReadResult:
        """Drift is why the generator has to run again; what was recorded stays."""
        props = whole(props)
        return drifted(id_, props, _GIVEN, run(self._drift(props)))

    async def _drift(self, props: Props) -> Drift:
        with told_by("MachineState", *NO_CONNECTION):
            async with self._access.machine(target(props)) as client:
                node, drift = await _look(client, props)
        if node.driver is not None and node.driver != props.get("driver"):
            said = f"driver {node.driver} is loaded, the spec was generated with {props.get('driver')}"
            drift[Cause.DRIVER] = [said, *drift.get(Cause.DRIVER, ())]
        if node.toolkit is not None and node.toolkit != props.get("toolkit"):
            drift[Cause.TOOLKIT] = [
                f"toolkit {node.toolkit} is installed, the spec was generated with {props.get('toolkit')}"
            ]
        return drift

    async def _judge(self, props: Props, olds: Props) -> Props:
        async with self._access.machine(target(props)) as client:
            node, drift = await _look(client, props)
        reasons = sentences(drift)
        if node.driver is None:
            pending = bool(props.get("reboot_pending"))
            raise DriverNotLoaded(props["node"], node.unread.get("driver", "no version"), pending=pending)
        facts = {"driver": node.driver, "toolkit": node.toolkit or ""}
        stays = olds and not reasons and not moved(_WANTED, olds, props) and not moved(frozenset(facts), olds, facts)
        return {
            **props,
            **facts,
            "token": olds["token"] if stays else token(),
            "fresh": not reasons,
            "reasons": reasons,
            DRIFT: {},
        }


async def _look(client: MachineClient, props: Props) -> tuple[NodeFacts, Drift]:
    strategy = await strategy_of(client, props)
    node, data = await read_facts(client), await spec_file(client)
    drift = unfit(data, strategy, node.driver)
    if drift or data is None or node.driver is None:
        # without the driver its device nodes are gone too, and nothing could be generated
        return node, drift
    spec = cdi.parse(cdi.patch(cdi.decode(data).text, strategy).text)
    return node, stale(spec, await host_facts(client, node, spec))


class CdiSource(Resource, module="cdi", name="Source"):
    """The generated spec before the generator."""

    token: pulumi.Output[str]
    """New whenever the generator must run again."""
    driver: pulumi.Output[str]
    """The loaded driver's version."""
    toolkit: pulumi.Output[str]
    fresh: pulumi.Output[bool]
    """Whether the spec was usable as it lay there."""

    def __init__(self, name: str, props: Props, opts: pulumi.ResourceOptions | None = None) -> None:
        outputs = ("token", "driver", "toolkit", "fresh", "reasons", DRIFT)
        declared = {**props, "version": VERSION, **dict.fromkeys(outputs)}
        super().__init__(CdiSourceProvider(), name, declared, opts)
