"""The machine: a node's facts against its slowest single call, and how soon a finished boot is noticed."""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path

from bench.figure import Amount, Figure
from bench.rounds import Rounds
from talos_gpu.talos.facts import read_facts
from tests.components.providing import cluster_of, props, providing
from tests.talos.asking import AUTHORITY, connected
from tests.talos.fake_talos import serving
from tests.talos.test_facts import BOOT, gpu_node

_INJECTED = 0.1
"""Seconds on every call."""
_ROUNDS = 5
_BOOT_ID = "/proc/sys/kernel/random/boot_id"


def measure() -> list[Figure | Amount]:
    """Every figure of the machine; about ten seconds."""
    return [asyncio.run(_facts()), _in_a_folder()]


def _in_a_folder() -> Amount:
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(_noticed(Path(folder)))


async def _facts() -> Figure:
    node = gpu_node()
    singles, alls = [], []
    async with connected(node) as client:
        await read_facts(client)
        node.delay = _INJECTED
        for _ in range(_ROUNDS):
            started = time.perf_counter()
            await client.version()
            singles.append(time.perf_counter() - started)
            started = time.perf_counter()
            await read_facts(client)
            alls.append(time.perf_counter() - started)
    name = "machine: all facts of a node, 100 ms injected on every call"
    rounds = Rounds(tuple(singles), tuple(alls))
    return Figure(name, "the slowest single call", max(singles), min(alls), 1.5, rounds)


async def _noticed(folder: Path) -> Amount:
    """From the moment that the API listens again, on a new boot that has finished, to MachineReady's return.

    The node and its cluster are fakes in this process; while the node is away its port refuses. The bar is one second.
    """
    late = []
    for away in (0.9, 1.1, 1.35):
        node = gpu_node()
        node.files[_BOOT_ID] = b"old\n"
        async with providing(folder, cluster_of()) as provider:
            async with serving(node, AUTHORITY) as port:
                asked = props(port, reboot="request", boot_id_before="old", before_restart={"cordon": False})
                waiting = asyncio.create_task(provider._apply(asked))
                while "reboot" not in node.calls[:-1]:  # noqa: ASYNC110 - until it looks again, on the old boot
                    await asyncio.sleep(0.01)
            node.files[_BOOT_ID] = BOOT.encode()
            await asyncio.sleep(away)
            async with serving(node, AUTHORITY, port=port):
                held = time.perf_counter()
                await waiting
                late.append(time.perf_counter() - held)
    where = "the latest of three, a fake node that listens again"
    return Amount("machine: a finished boot is noticed", max(late), "s", 1.0, where)
