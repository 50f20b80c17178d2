"""A Kubernetes API server at the transport: plain HTTP/1.1 for objects, a web socket for exec."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, BytesMessage, CloseConnection, Request

NODE: dict[str, Any] = {
    "metadata": {"name": "lab-1", "labels": {"kubernetes.io/hostname": "lab-1"}},
    "spec": {},
    "status": {
        "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "posting"}],
        "nodeInfo": {
            "bootID": "old",
            "kernelVersion": "6.12.45-talos",
            "containerRuntimeVersion": "containerd://2.1.4",
        },
    },
}


@dataclass
class Api:
    """What the fake serves; tests change it."""

    objects: dict[str, Any] = field(default_factory=dict)
    """Object or list by path, the query left out."""
    status: int = 200
    """Other than 200: the status of every answer but /version."""
    version: str = "v1.34.1"
    exec_frames: list[bytes] = field(default_factory=list)
    """What exec sends: the channel's byte, then its content."""
    requests: list[tuple[str, dict[str, list[str]]]] = field(default_factory=list)
    """Path and query of each request."""


@contextlib.asynccontextmanager
async def serving(api: Api, folder: Path) -> AsyncIterator[Path]:
    """Serve `api`; yields a kubeconfig for it, which lies in `folder`."""

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await _answer(api, reader, writer):
                pass
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    server = await asyncio.start_server(converse, "127.0.0.1", 0)
    async with server:
        yield kubeconfig(folder, server.sockets[0].getsockname()[1])


def kubeconfig(folder: Path, port: int) -> Path:
    """Write a kubeconfig for a plain HTTP server on this machine."""
    path = folder / "kubeconfig"
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "lab",
        "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "lab"}}],
        "clusters": [{"name": "lab", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
        "users": [{"name": "lab", "user": {"token": "none"}}],
    }
    path.write_text(yaml.safe_dump(document))
    return path


async def _answer(api: Api, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return False
    target = urlsplit(head.split(b" ", 2)[1].decode())
    path = target.path.rstrip("/")
    api.requests.append((path, parse_qs(target.query)))
    if b"upgrade: websocket" in head.lower():
        await _exec(api, head, reader, writer)
        return False
    found = {"gitVersion": api.version} if path == "/version" else api.objects.get(path)
    status = 200 if path == "/version" else 404 if found is None else api.status
    body = json.dumps(found if status == 200 else {"message": f"refused: {path}"}).encode()
    writer.write(f"HTTP/1.1 {status} X\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body)
    await writer.drain()
    return True


async def _exec(api: Api, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    socket = WSConnection(ConnectionType.SERVER)
    socket.receive_data(head)
    for event in socket.events():
        if isinstance(event, Request):
            writer.write(socket.send(AcceptConnection(subprotocol="v4.channel.k8s.io")))
    for frame in api.exec_frames:
        writer.write(socket.send(BytesMessage(frame)))
    await writer.drain()
    with contextlib.suppress(asyncio.TimeoutError):
        async with asyncio.timeout(1):
            socket.receive_data(await reader.read(4096))
    if any(isinstance(event, CloseConnection) for event in socket.events()):
        writer.write(socket.send(CloseConnection(code=1000)))
        await writer.drain()
