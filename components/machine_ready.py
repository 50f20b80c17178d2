"""MachineReady: restarts the node where its config needs that, and waits until the config holds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import pulumi
from pulumi.dynamic import CheckResult, CreateResult, DiffResult, ReadResult, Resource, UpdateResult
from typing_extensions import override

from components import cost
from components.dynamic import NO_CONNECTION, NodeProvider, Props, run, target, tell, told_by, whole
from components.machine_drift import shown_facts
from components.machine_state import want_of
from components.restart import freed, restart
from talos_gpu.errors import TalosGpuError
from talos_gpu.kube.errors import ClusterRefused, ClusterUnreachable
from talos_gpu.kube.states import lacking
from talos_gpu.talos.endpoint import PORT
from talos_gpu.talos.errors import ApiError, CertificateRejected, ForwardingRefused, PermissionDenied
from talos_gpu.talos.facts import NodeFacts, read_facts
from talos_gpu.talos.messages import Service
from talos_gpu.talos.reach import not_listening
from talos_gpu.talos.readiness import Expected, Unmet, likely_cause, unmet
from talos_gpu.talos.releases import strategy_for

VERSION = "2"
_POLL = 0.1
"""Seconds between two looks."""
_CONNECT_SECONDS = 0.6
"""With the pause between two looks less than a second: a boot that has finished is noticed within one."""


class MachineNotReady(TalosGpuError):
    """The node did not become what the config says in time; says which condition, what was last seen, and why."""

    def __init__(self, node: str, seconds: float, condition: Unmet, cause: str) -> None:
        likely = f"; likely cause: {cause}" if cause else ""
        super().__init__(
            f"{node} was not ready within {seconds:g} s; condition {condition.name}, last seen: "
            f"{condition.seen}{likely}",
            remedy=f"talosctl -n {node} dmesg; talosctl -n {node} services; then `pulumi up` again",
        )


@dataclass(frozen=True, slots=True)
class Seen:
    """One look at the node; `unmet` is the first condition that does not hold, None if all do."""

    unmet: Unmet | None
    facts: NodeFacts | None = None
    services: Sequence[Service] = ()


class MachineReadyProvider(NodeProvider):
    """Waits; where the config needs a restart it makes the node quiet, asks for one, and frees the node after it."""

    moves: ClassVar[frozenset[str]] = frozenset(
        ("node", "address", "endpoint", "release", "method", "default_runtime", "token", "config_hash", "version")
    )

    @override
    def check(self, _olds: Props, news: Props) -> CheckResult:
        """A first `up` that failed has staged a config already: what the next one costs is said here."""
        if not _olds:
            _tell_cost({}, news)
        return CheckResult(news, [])

    @override
    def diff(self, _id: str, _olds: Props, _news: Props) -> DiffResult:
        """As of every provider; says what it costs where a restart is due."""
        found = super().diff(_id, _olds, _news)
        if found.changes is not False:
            _tell_cost(_olds, _news)
        return found

    @override
    def create(self, props: Props) -> CreateResult:
        return CreateResult(f"{props['node']}-machine-ready", run(self._apply(whole(props))))

    @override
    def update(self, _id: str, _olds: Props, _news: Props) -> UpdateResult:
        return UpdateResult(run(self._apply(whole(_news))))

    @override
    def read(self, id_: str, props: Props) -> ReadResult:
        """The facts anew, containerd as the node's object said it; the boot id stays: a restart alone is no change."""
        return ReadResult(id_, run(self._facts(whole(props))))

    async def _facts(self, props: Props) -> Props:
        with told_by("MachineState", *NO_CONNECTION):
            async with self._access.machine(target(props)) as client:
                now = shown_facts(await read_facts(client))
        kept = {name: said for name, said in props["facts"].items() if name == "containerd"}
        return {**props, "facts": {**kept, **now}}

    async def _apply(self, props: Props) -> Props:
        if props["apply_mode"] == "staged":
            async with self._access.machine(target(props)) as client:
                return _outputs(props, await read_facts(client), pending=bool(props["reboot_expected"]))
        async with freed(self._access, props["node"]) as freeing:
            if props["reboot"] == "request":
                await restart(self._access, props, freeing)
            return await self._wait(props)

    async def _wait(self, props: Props) -> Props:
        seconds = float(props["timeout_s"])
        until, seen = time.monotonic() + seconds, Seen(Unmet("api", "nothing"))
        while time.monotonic() < until:
            seen = await self._look(props)
            if seen.unmet is None and seen.facts is not None:
                return _outputs(props, seen.facts, pending=False)
            await asyncio.sleep(_POLL)
        condition = seen.unmet or Unmet("api", "nothing")
        raise MachineNotReady(props["node"], seconds, condition, await self._cause(props, condition, seen))

    async def _look(self, props: Props) -> Seen:
        where = target(props)
        if away := await not_listening(where.endpoint, PORT, _CONNECT_SECONDS):
            return Seen(Unmet("api", away))
        try:
            async with self._access.machine(where) as client:
                facts, services = await read_facts(client), await client.services()
        except (CertificateRejected, PermissionDenied, ForwardingRefused):
            raise  # waiting does not mend it
        except ApiError as error:
            return Seen(Unmet("api", error.message))
        old_boot = str(props["boot_id_before"]) if props["reboot"] != "none" else None
        lacks = unmet(facts, services, Expected(want_of(props), old_boot))
        if lacks:
            return Seen(lacks[0], facts, services)
        lack, containerd = await self._node(props, old_boot)
        return Seen(lack, replace(facts, containerd=containerd), services)

    async def _node(self, props: Props, old_boot: str | None) -> tuple[Unmet | None, str | None]:
        """What the Node object lacks, and its containerd, which Talos does not tell.

        After a restart, what it says of the boot before counts for nothing.
        """
        try:
            async with self._access.cluster() as cluster:
                node = await cluster.node(props["node"])
        except (ClusterUnreachable, ClusterRefused) as error:
            return Unmet("node", error.message), None
        lacks = lacking(node, want_of(props).node_labels, old_boot)
        found = node.containerd if node is not None else None
        return (Unmet("node", f"node {props['node']}: {lacks}") if lacks else None), found

    async def _cause(self, props: Props, condition: Unmet, seen: Seen) -> str:
        dmesg = ""
        if condition.name in {"services", "config"}:
            try:
                async with self._access.machine(target(props)) as client:
                    dmesg = await client.dmesg()
            except ApiError as error:
                dmesg = f"(not read: {error.message})"
        return likely_cause(condition, seen.facts, seen.services, dmesg, strategy_for(props["release"]))


def _tell_cost(olds: Props, news: Props) -> None:
    if sentence := cost.of_restart(olds, news):
        tell(f"{news['node']}: {sentence}")


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
