"""CdiSpec: the generated spec, read through the Talos API, validated and patched; writes nothing on the node."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import ClassVar

import pulumi
from pulumi.dynamic import CreateResult, ReadResult, Resource, UpdateResult
from typing_extensions import override

from components.cdi_source import strategy_of
from components.dynamic import DRIFT, NodeProvider, Props, target, whole
from components.freshness import unfit
from talos_gpu.cdi import Strategy, facts, facts_file, patch
from talos_gpu.errors import TalosGpuError
from talos_gpu.talos.facts import SPEC_SOURCE, spec_source

VERSION = "1"


class SourceUnfit(TalosGpuError):
    """The generator has run, and its spec still cannot be used."""

    def __init__(self, node: str, reasons: Sequence[str]) -> None:
        super().__init__(
            f"the spec on {node} cannot be used:" + "".join(f"\n  {reason}" for reason in reasons),
            remedy=f"read it: talosctl -n {node} read {SPEC_SOURCE}; `pulumi up --refresh` generates it anew",
        )


class CdiSpecProvider(NodeProvider):
    """Reads, validates and patches."""

    moves: ClassVar[frozenset[str]] = frozenset(
        ("node", "address", "endpoint", "release", "hook", "token", "generation", "driver", "version")
    )

    @override
    def create(self, props: Props) -> CreateResult:
        return CreateResult(f"{props['node']}-cdi-spec", asyncio.run(self._patched(whole(props))))

    @override
    def update(self, _id: str, _olds: Props, _news: Props) -> UpdateResult:
        return UpdateResult(asyncio.run(self._patched(whole(_news))))

    @override
    def read(self, id_: str, props: Props) -> ReadResult:
        """Outputs of the spec that lies there now; one that cannot be used is drift, and the old outputs stay."""
        return ReadResult(id_, asyncio.run(self._now(whole(props))))

    async def _patched(self, props: Props) -> Props:
        strategy, text = await self._source(props)
        reasons = unfit(text, strategy, props["driver"], {})
        if text is None or reasons:
            raise SourceUnfit(props["node"], reasons)
        return _outputs(props, strategy, text)

    async def _now(self, props: Props) -> Props:
        strategy, text = await self._source(props)
        reasons = unfit(text, strategy, None, {})
        if text is None or reasons:
            return {**props, DRIFT: reasons}
        try:
            return _outputs(props, strategy, text)
        except TalosGpuError as error:
            return {**props, DRIFT: [error.message]}

    async def _source(self, props: Props) -> tuple[Strategy, str | None]:
        async with self._access.machine(target(props)) as client:
            return await strategy_of(client, props), await spec_source(client)


def _outputs(props: Props, strategy: Strategy, text: str) -> Props:
    patched, needed = patch(text, strategy), facts(text)
    # what the host must have is what the installed text names: its hooks are the patched ones
    wanted = facts(patched.text)
    return {
        **props,
        "text": patched.text,
        "sha256": patched.sha256,
        "source_sha256": patched.source_sha256,
        "devices": list(patched.devices),
        "hooks": list(patched.hooks),
        "strategy": str(strategy),
        "driver_version": needed.driver_version or "",
        "facts_file": facts_file(patched, wanted, node=props["node"]),
        DRIFT: [],
    }


class CdiSpec(Resource, module="cdi", name="Spec"):
    """The spec as it is to be installed."""

    text: pulumi.Output[str]
    sha256: pulumi.Output[str]
    """Of `text`."""
    source_sha256: pulumi.Output[str]
    """Of the generated spec."""
    devices: pulumi.Output[Sequence[str]]
    """`0`, `GPU-<uuid>`, `all`."""
    hooks: pulumi.Output[Sequence[str]]
    """The hook binaries, each once."""
    strategy: pulumi.Output[str]
    driver_version: pulumi.Output[str]
    facts_file: pulumi.Output[str]
    """What the installer checks on the host."""

    def __init__(self, name: str, props: Props, opts: pulumi.ResourceOptions | None = None) -> None:
        outputs = (
            "text",
            "sha256",
            "source_sha256",
            "devices",
            "hooks",
            "strategy",
            "driver_version",
            "facts_file",
            DRIFT,
        )
        declared = {**props, "version": VERSION, **dict.fromkeys(outputs)}
        super().__init__(CdiSpecProvider(), name, declared, opts)
