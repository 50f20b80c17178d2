"""CdiSpec: the generated spec, read through the Talos API, validated and patched; writes nothing on the node."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import pulumi
from pulumi.dynamic import CreateResult, ReadResult, Resource, UpdateResult
from typing_extensions import override

from components.cdi_source import HookBinaryMissing, spec_file, strategy_of
from components.drift import Cause, Drift, digest, installed_drift, sentences, source_drift
from components.dynamic import (
    DRIFT,
    NO_CONNECTION,
    NodeProvider,
    Props,
    drifted,
    run,
    target,
    token,
    told_by,
    whole,
)
from components.freshness import unfit
from talos_gpu import cdi
from talos_gpu.errors import TalosGpuError
from talos_gpu.talos.errors import PermissionDenied
from talos_gpu.talos.facts import SPEC_SOURCE

if TYPE_CHECKING:
    from talos_gpu.talos.client import MachineClient

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
        """Drift of the generated and of the installed spec; the recorded outputs stay: they are what is installed."""
        props = whole(props)
        return drifted(id_, props, self.moves, run(self._drift(props)))

    async def _patched(self, props: Props, olds: Props) -> Props:
        async with self._access.machine(target(props)) as client:
            strategy, data = await strategy_of(client, props), await spec_file(client)
        reasons = sentences(unfit(data, strategy, props["driver"]))
        if data is None or reasons:
            raise SourceUnfit(props["node"], reasons)
        again = token() if olds.get(DRIFT) else olds.get("install_token", "")
        return _outputs({**props, "install_token": again}, strategy, cdi.decode(data).text)

    async def _drift(self, props: Props) -> Drift:
        # CdiSource asks for the same hook and reads the same file, which needs os:admin
        with told_by("MachineState or CdiSource", *NO_CONNECTION, PermissionDenied, HookBinaryMissing):
            async with self._access.machine(target(props)) as client:
                strategy, source = await strategy_of(client, props), await spec_file(client)
                installed = await spec_file(client, SPEC_TARGET)
                own = props["regenerate"] == "boot" and await _by_installer(client, installed)
        if drift := unfit(source, strategy):
            return drift
        text = cdi.decode(source or b"").text
        if str(strategy) != props["strategy"]:
            drift[Cause.HOOK] = [f"hooks are to be patched as {strategy}, the spec was patched as {props['strategy']}"]
        drift |= source_drift(props, SPEC_SOURCE, cdi.patch(text, strategy))
        # with another source or strategy the installed file cannot be its patch yet
        return drift or ({} if own else installed_drift(props["text"], SPEC_TARGET, installed))


async def _by_installer(client: MachineClient, installed: bytes | None) -> bool:
    """Whether the installer noted that it put this very spec there by itself."""
    marker = await spec_file(client, SPEC_MARKER)
    return installed is not None and marker is not None and digest(installed).encode() in marker.split()


def _outputs(props: Props, strategy: cdi.Strategy, text: str) -> Props:
    patched, needed = cdi.patch(text, strategy), cdi.facts(text)
    # what the host must have is what the installed text names: its hooks are the patched ones
    wanted = cdi.facts(patched.text)
    return {
        **props,
        "text": patched.text,
        "sha256": patched.sha256,
        "source_sha256": patched.source_sha256,
        "devices": list(patched.devices),
        "hooks": list(patched.hooks),
        "strategy": str(strategy),
        "driver_version": needed.driver_version or "",
        "facts_file": cdi.facts_file(patched, wanted, node=props["node"]),
        DRIFT: {},
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
