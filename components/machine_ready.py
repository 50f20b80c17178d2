"""MachineReady: waits until the applied machine config holds on the node."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import ClassVar

import pulumi
from pulumi.dynamic import CreateResult, ReadResult, Resource, UpdateResult
from typing_extensions import override

from components.dynamic import NodeProvider, Props, run, target, whole
from components.machine_state import shown_facts, want_of
from talos_gpu.errors import TalosGpuError
from talos_gpu.kube.errors import ClusterRefused, ClusterUnreachable
from talos_gpu.kube.states import lacking
from talos_gpu.talos.effective import effective_differences
from talos_gpu.talos.errors import ApiError, CertificateRejected, PermissionDenied
from talos_gpu.talos.facts import NodeFacts, read_facts
from talos_gpu.talos.messages import Service

VERSION = "1"
_POLL = 0.5
"""Seconds between two looks."""


class MachineNotReady(TalosGpuError):
    """The node did not become what the config says in time; says what was last seen."""

    def __init__(self, node: str, seconds: float, last_seen: str) -> None:
        super().__init__(
            f"{node} was not ready within {seconds:g} s; last seen: {last_seen}",
            remedy=f"talosctl -n {node} dmesg; talosctl -n {node} services; then `pulumi up` again",
        )


class MachineReadyProvider(NodeProvider):
    """Waits; asks for a restart once where the apply makes none and one is needed."""

    moves: ClassVar[frozenset[str]] = frozenset(
        ("node", "address", "endpoint", "release", "method", "default_runtime", "token", "config_hash", "version")
    )

    @override
    def create(self, props: Props) -> CreateResult:
        return CreateResult(f"{props['node']}-machine-ready", run(self._wait(whole(props))))

    @override
    def update(self, _id: str, _olds: Props, _news: Props) -> UpdateResult:
        return UpdateResult(run(self._wait(whole(_news))))

    @override
    def read(self, id_: str, props: Props) -> ReadResult:
        """The facts anew; the boot id stays, so that a restart alone is no change."""
        return ReadResult(id_, run(self._facts(whole(props))))

    async def _facts(self, props: Props) -> Props:
        async with self._access.machine(target(props)) as client:
            return {**props, "facts": shown_facts(await read_facts(client))}

    async def _wait(self, props: Props) -> Props:
        if props["apply_mode"] == "staged":
            async with self._access.machine(target(props)) as client:
                return _outputs(props, await read_facts(client), pending=bool(props["reboot_expected"]))
        if props["reboot"] == "request":
            await self._request_reboot(props)
        seconds = float(props["timeout_s"])
        until, seen = time.monotonic() + seconds, "nothing"
        while time.monotonic() < until:
            facts, seen = await self._look(props)
            if facts is not None and not seen:
                seen = await self._node(props)
                if not seen:
                    return _outputs(props, facts, pending=False)
            await asyncio.sleep(_POLL)
        raise MachineNotReady(props["node"], seconds, seen)

    async def _request_reboot(self, props: Props) -> None:
        async with self._access.machine(target(props)) as client:
            if (await read_facts(client)).boot_id == props["boot_id_before"]:
                await client.reboot()

    async def _look(self, props: Props) -> tuple[NodeFacts | None, str]:
        """The node's facts, and what it lacks ("": nothing)."""
        try:
            async with self._access.machine(target(props)) as client:
                facts, services = await read_facts(client), await client.services()
        except (CertificateRejected, PermissionDenied):
            raise  # waiting does not mend it
        except ApiError as error:
            return None, error.message
        if props["reboot"] != "none" and facts.boot_id in {None, props["boot_id_before"]}:
            return facts, f"still on boot {facts.boot_id}"
        lacks = [*effective_differences(facts, None, want_of(props)), *map(_unsettled, filter(_concerns, services))]
        return facts, "; ".join(lacks)

    async def _node(self, props: Props) -> str:
        """What the Node object lacks; after a restart, what it says of the boot before counts for nothing."""
        before = props["boot_id_before"] if props["reboot"] != "none" else None
        try:
            async with self._access.cluster() as cluster:
                lacks = lacking(await cluster.node(props["node"]), want_of(props).node_labels, before)
        except (ClusterUnreachable, ClusterRefused) as error:
            return error.message
        return f"node {props['node']}: {lacks}" if lacks else ""


def _concerns(service: Service) -> bool:
    return service.id.startswith("ext-") and not service.settled


def _unsettled(service: Service) -> str:
    reason = f" ({service.last_message})" if service.last_message else ""
    return f"service {service.id} is {service.state}{reason}"


def _outputs(props: Props, facts: NodeFacts, *, pending: bool) -> Props:
    return {**props, "boot_id": facts.boot_id or "", "facts": shown_facts(facts), "reboot_pending": pending}


class MachineReady(Resource, module="talos", name="MachineReady"):
    """The node after the apply."""

    boot_id: pulumi.Output[str]
    """The boot on which the config was seen to hold; an output only."""
    facts: pulumi.Output[Mapping[str, str]]
    """talos, kernel, containerd, driver, toolkit, bpf_jit_harden, kptr_restrict: those that are known."""
    reboot_pending: pulumi.Output[bool]
    """Whether a staged config waits for the next boot."""
    token: pulumi.Output[str]

    def __init__(self, name: str, props: Props, opts: pulumi.ResourceOptions | None = None) -> None:
        declared = {**props, "version": VERSION, **dict.fromkeys(("boot_id", "facts", "reboot_pending"))}
        super().__init__(MachineReadyProvider(), name, declared, opts)
