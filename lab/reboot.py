"""Reboot a node as its operator would: through the Talos API."""

from __future__ import annotations

import asyncio
import time

from lab.errors import NodeFailed
from lab.lab import Lab
from talos_gpu.errors import TalosGpuError
from talos_gpu.talos.client import MachineClient
from talos_gpu.talos.credentials import TalosConfig

BOOT_ID = "/proc/sys/kernel/random/boot_id"


def reboot_node(lab: Lab, name: str | None = None, deadline: float = 60.0) -> tuple[str, str]:
    """Reboot the node called `name` (the first one unless said); returns the boot ids before and after."""
    node = lab.node(name)
    credentials = TalosConfig.load(lab.paths.talosconfig)

    async def boot_id() -> str:
        async with MachineClient(credentials, node.endpoint) as client:
            return (await client.read(BOOT_ID)).decode().strip()

    async def reboot() -> tuple[str, str]:
        before = await boot_id()
        async with MachineClient(credentials, node.endpoint) as client:
            await client.reboot()
        until, seen = time.monotonic() + deadline, before
        while time.monotonic() < until:
            try:
                seen = await boot_id()
            except TalosGpuError as error:
                seen = str(error)
            else:
                if seen != before:
                    return before, seen
            await asyncio.sleep(0.2)
        raise NodeFailed(f"{node.name} did not come back within {deadline:.0f} s; last seen: {seen}")

    result = asyncio.run(reboot())
    node.wait_containerd()
    return result
