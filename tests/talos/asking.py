"""Asking a fake node through the real client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import pytest

from talos_gpu.talos.client import MachineClient
from talos_gpu.talos.credentials import Credentials, TalosConfig
from talos_gpu.talos.errors import (
    ApiError,
)
from tests.talos.fake_talos import ADDRESS, Node, serving
from tests.talos.pki import Authority, talosconfig

AUTHORITY = Authority()
AnswerT = TypeVar("AnswerT")


def credentials(role: str = "os:admin", authority: Authority = AUTHORITY) -> Credentials:
    return TalosConfig.load(talosconfig(authority, authority.client(role)))


@asynccontextmanager
async def connected(
    node: Node, *, role: str = "os:admin", target: str | None = None, seconds: float = 30.0
) -> AsyncIterator[MachineClient]:
    async with (
        serving(node, AUTHORITY) as port,
        MachineClient(credentials(role), ADDRESS, target, port, timeout=seconds) as client,
    ):
        yield client


def ask(
    node: Node,
    question: Callable[[MachineClient], Awaitable[AnswerT]],
    *,
    role: str = "os:admin",
    target: str | None = None,
    seconds: float = 30.0,
) -> AnswerT:
    async def conversation() -> AnswerT:
        async with connected(node, role=role, target=target, seconds=seconds) as client:
            return await question(client)

    return asyncio.run(conversation())


def refusal(
    kind: type[ApiError],
    node: Node,
    question: Callable[[MachineClient], Awaitable[object]],
    *,
    role: str = "os:admin",
    target: str | None = None,
    seconds: float = 30.0,
) -> str:
    """What the client says when the call fails, the port left out."""
    with pytest.raises(kind) as caught:
        ask(node, question, role=role, target=target, seconds=seconds)
    assert type(caught.value) is kind
    return str(caught.value)
