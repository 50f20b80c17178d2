"""What can be known of a stack before a preview, each check on its own and every fault told."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from pathlib import Path

from talos_gpu.errors import TalosGpuError
from talos_gpu.kube.cluster import Cluster
from talos_gpu.kube.kubeconfig import client_certificate_end, kubeconfig_files
from talos_gpu.rollout.images import require_images
from talos_gpu.rollout.model import CheckName
from talos_gpu.rollout.reach import machine
from talos_gpu.settings import Settings
from talos_gpu.settings.stack_file import stack_settings
from talos_gpu.talos.credentials import TalosConfig
from talos_gpu.talos.endpoint import split_endpoint
from talos_gpu.talos.releases import strategy_for

_CONNECT_S = 5.0


def preflight(path: Path, checks: Collection[CheckName]) -> tuple[Settings | None, list[str]]:
    """The settings in a stack file, None if they cannot be read, and every fault; without checks there is none."""
    try:
        settings = stack_settings(path)
    except TalosGpuError as error:
        return None, [error.message] if checks else []
    faults = []
    for name, check in _CHECKS.items():
        if name in checks:
            try:
                check(settings)
            except TalosGpuError as error:
                remedy = f"; {error.remedy}" if error.remedy else ""
                faults.append(f"{name}: {error.message}{remedy}")
    return settings, faults


def _release(settings: Settings) -> None:
    """The settings' own rules have told that the table has the release; whether the node runs it, only the node can."""
    told = settings.node.talos
    runs = asyncio.run(_version(settings))
    if strategy_for(told, treat_as=settings.node.treat_as).minor != _minor(runs) and _minor(told) != _minor(runs):
        raise TalosGpuError(
            f"the node runs {runs}, node.talos says {told}", remedy="upgrade the node first, or set node.talos"
        )


async def _version(settings: Settings) -> str:
    async with machine(settings) as client:
        return (await client.version()).tag


def _minor(version: str) -> str:
    return ".".join(version.removeprefix("v").split(".")[:2])


def _credentials(settings: Settings) -> None:
    TalosConfig.load(settings.talosconfig or None, settings.talos_context or None).require_valid()
    asyncio.run(_enter(Cluster(settings.kubeconfig or None, connect=False)))
    end = client_certificate_end(Path(settings.kubeconfig) if settings.kubeconfig else None)
    if end is not None and end <= datetime.now(UTC):
        files = ", ".join(map(str, kubeconfig_files(settings.kubeconfig)))
        raise TalosGpuError(
            f"kubeconfig {files}: the client certificate expired on {end:%Y-%m-%d}",
            remedy="talosctl kubeconfig writes a new one",
        )


def _reachable(settings: Settings) -> None:
    host, port = split_endpoint(settings.node.endpoint or str(settings.node.address))
    try:
        socket.create_connection((host, port), _CONNECT_S).close()
    except OSError as error:
        raise TalosGpuError(f"no connection to {host} port {port}: {error.strerror or error}") from None
    asyncio.run(_enter(Cluster(settings.kubeconfig or None)))


async def _enter(cluster: Cluster) -> None:
    async with cluster:
        pass


_CHECKS: Mapping[CheckName, Callable[[Settings], None]] = {
    "release": _release,
    "credentials": _credentials,
    "reachable": _reachable,
    "image": require_images,
}
