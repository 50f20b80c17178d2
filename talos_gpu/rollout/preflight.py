"""What can be known of a stack before a preview, each check on its own and every fault told."""

from __future__ import annotations

import socket
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from talos_gpu.errors import TalosGpuError
from talos_gpu.rollout.images import require_images
from talos_gpu.rollout.model import CheckName
from talos_gpu.settings import Settings
from talos_gpu.settings.stack_file import stack_settings
from talos_gpu.talos.credentials import TalosConfig
from talos_gpu.talos.releases import Method, strategy_for

_TALOS_API = 50000
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
    strategy_for(settings.node.talos, treat_as=settings.node.treat_as).require(Method(settings.cdi.method))


def _credentials(settings: Settings) -> None:
    TalosConfig.load(settings.talosconfig or None).require_valid()


def _reachable(settings: Settings) -> None:
    host, port = _address(settings.node.endpoint or str(settings.node.address))
    try:
        socket.create_connection((host, port), _CONNECT_S).close()
    except OSError as error:
        raise TalosGpuError(f"no connection to {host} port {port}: {error.strerror or error}") from None


def _address(endpoint: str) -> tuple[str, int]:
    host, colon, port = endpoint.rpartition(":")
    if colon and port.isdigit() and (":" not in host or host.startswith("[")):
        return host.strip("[]"), int(port)
    return endpoint.strip("[]"), _TALOS_API


_CHECKS: Mapping[CheckName, Callable[[Settings], None]] = {
    "release": _release,
    "credentials": _credentials,
    "reachable": _reachable,
    "image": require_images,
}
