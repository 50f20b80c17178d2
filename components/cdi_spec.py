"""CdiSpec: the generated spec, read through the Talos API, validated and patched; writes nothing on the node."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import ClassVar

import pulumi
from pulumi.dynamic import CreateResult, ReadResult, Resource, UpdateResult
from typing_extensions import override

from components.cdi_source import strategy_of
from components.dynamic import DRIFT, NodeProvider, Props, run, target, token, whole
from components.freshness import unfit
from talos_gpu.cdi import Strategy, facts, facts_file, patch
from talos_gpu.errors import TalosGpuError
from talos_gpu.talos.client import MachineClient
from talos_gpu.talos.facts import SPEC_SOURCE, spec_source

VERSION = "1"
SPEC_TARGET = "/var/run/cdi/nvidia.yaml"
"""Where the installer puts it on the host; /var/run is a tmpfs, so it is empty after every boot."""
SPEC_MARKER = "/var/run/cdi/.nvidia.yaml.nvidia-cdi-init"
"""Digests of what the installer put there, a line each."""


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
        ("node", "address", "endpoint", "release", "hook", "regenerate", "token", "generation", "driver", "version")
    )

    @override
    def create(self, props: Props) -> CreateResult:
        return CreateResult(f"{props['node']}-cdi-spec", run(self._patched(whole(props), {})))

    @override
    def update(self, _id: str, _olds: Props, _news: Props) -> UpdateResult:
        return UpdateResult(run(self._patched(whole(_news), whole(_olds))))

    @override
    def read(self, id_: str, props: Props) -> ReadResult:
        """Outputs of the spec that lies there now; one that cannot be used is drift, and the old outputs stay."""
        return ReadResult(id_, run(self._now(whole(props))))

    async def _patched(self, props: Props, olds: Props) -> Props:
        async with self._access.machine(target(props)) as client:
            strategy, text = await strategy_of(client, props), await spec_source(client)
        reasons = unfit(text, strategy, props["driver"], {})
        if text is None or reasons:
            raise SourceUnfit(props["node"], reasons)
        again = token() if olds.get(DRIFT) else olds.get("install_token", "")
        return _outputs({**props, "install_token": again}, strategy, text)

    async def _now(self, props: Props) -> Props:
        async with self._access.machine(target(props)) as client:
            strategy, text = await strategy_of(client, props), await spec_source(client)
            found = await _installed(client, props)
        reasons = unfit(text, strategy, None, {})
        if text is None or reasons:
            return {**props, DRIFT: reasons}
        try:
            now = _outputs(props, strategy, text)
        except TalosGpuError as error:
            return {**props, DRIFT: [error.message]}
        # a source that moved changes the payload anyway; the installed file cannot be its patch yet
        return {**now, DRIFT: found if now["sha256"] == props["sha256"] else []}


async def _installed(client: MachineClient, props: Props) -> list[str]:
    """How the installed spec differs from the state's, a sentence or none."""
    text = await spec_source(client, SPEC_TARGET)
    if text is None:
        return [f"{SPEC_TARGET} is not there: the installer has not put it there, or has withdrawn it"]
    digest = hashlib.sha256(text.encode()).hexdigest()
    if digest == props["sha256"]:
        return []
    if props["regenerate"] == "boot" and digest in (await spec_source(client, SPEC_MARKER) or "").split():
        return []
    return [f"{SPEC_TARGET} is not the spec that was installed: it was edited (sha256 {digest[:8]})"]


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
    install_token: pulumi.Output[str]
    """New whenever the installer must start again."""
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
            "install_token",
            DRIFT,
        )
        declared = {**props, "version": VERSION, **dict.fromkeys(outputs)}
        super().__init__(CdiSpecProvider(), name, declared, opts)
