"""What a long life of the client leaves behind: nothing; and that facts are asked for at once."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

from talos_gpu.talos.client import MachineClient
from talos_gpu.talos.errors import ApiError
from talos_gpu.talos.facts import read_facts
from tests.talos.asking import AUTHORITY, connected, credentials
from tests.talos.fake_talos import ADDRESS, Node, serving
from tests.talos.test_facts import gpu_node

FACTS = 12
"""Calls that read_facts makes; while none is answered yet, all are asked."""


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def mixed(client: MachineClient, number: int) -> None:
    """Every fourth call fails."""
    with contextlib.suppress(ApiError):
        await (client.read("/no/such/file") if number % 4 == 0 else client.version())


async def settled(tasks: int, descriptors: int) -> tuple[int, int]:
    """What is open beyond the given numbers; the server's side of a connection closes a moment after ours."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(5):
            while len(asyncio.all_tasks()) > tasks or open_descriptors() > descriptors:  # noqa: ASYNC110 - no event tells
                await asyncio.sleep(0.01)
    return max(len(asyncio.all_tasks()) - tasks, 0), max(open_descriptors() - descriptors, 0)


def test_clients_that_come_and_go_leave_no_descriptor() -> None:
    async def visits() -> tuple[int, int]:
        async with serving(Node(), AUTHORITY) as port:
            identity = credentials()

            async def visit(number: int) -> None:
                async with MachineClient(identity, ADDRESS, None, port, timeout=5) as client:
                    await mixed(client, number)

            await visit(1)
            tasks, descriptors = len(asyncio.all_tasks()), open_descriptors()
            for number in range(40):
                await visit(number)
            return await settled(tasks, descriptors)

    assert asyncio.run(visits()) == (0, 0)


def test_a_call_that_is_given_up_leaves_nothing() -> None:
    async def given_up() -> tuple[int, int]:
        node = Node()
        async with connected(node) as client:
            await client.version()
            tasks, descriptors = len(asyncio.all_tasks()), open_descriptors()
            node.delay = 0.05
            for _ in range(20):
                asking = asyncio.create_task(client.version())
                await asyncio.sleep(0.001)
                asking.cancel()
                await asyncio.gather(asking, return_exceptions=True)
            node.delay = 0
            left = await settled(tasks, descriptors)
            assert (await client.version()).tag == "v1.11.1"
            return left

    assert asyncio.run(given_up()) == (0, 0)


def test_a_thousand_calls_leave_no_descriptor_and_no_task() -> None:
    async def calls() -> tuple[int, int]:
        async with connected(Node()) as client:
            await client.version()
            tasks, descriptors = len(asyncio.all_tasks()), open_descriptors()
            for start in range(0, 1000, 10):
                await asyncio.gather(*(mixed(client, number) for number in range(start, start + 10)))
            return await settled(tasks, descriptors)

    assert asyncio.run(calls()) == (0, 0)


def test_facts_are_asked_for_at_once() -> None:
    async def asked() -> int:
        node = gpu_node()
        async with connected(node) as client:
            await client.version()
            node.calls.clear()
            node.delay = 60.0
            reading = asyncio.create_task(read_facts(client))
            async with asyncio.timeout(30):
                while len(node.calls) < FACTS:  # noqa: ASYNC110 - no event tells
                    await asyncio.sleep(0.01)
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
            return len(node.calls)

    assert asyncio.run(asked()) == FACTS
