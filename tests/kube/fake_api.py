"""A Kubernetes API server at the transport: plain HTTP/1.1 for objects, a web socket for exec."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator, Callable
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
    program: Callable[[list[str]], tuple[int, bytes, bytes]] | None = None
    """What exec runs instead: a command's exit code and outputs."""
    created: list[dict[str, Any]] = field(default_factory=list)
    """Objects that were posted; each is served at its path from then on."""
    kubelet: Callable[[dict[str, Any]], None] | None = None
    """What is done to an object that was posted, before it is served."""
    deleted: list[str] = field(default_factory=list)
    """Paths that were deleted."""
    delay: float = 0.0
    """Seconds before every answer but /version."""
    evictions: list[int] = field(default_factory=list)
    """Statuses of the next evictions, 201 when there is none left; one with 201 ends the pod."""
    conflicts: int = 0
    """Patches that are refused as those of an older version; a controller has written meanwhile."""
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
    method, address, _ = head.split(b" ", 2)
    target = urlsplit(address.decode())
    path, query = target.path.rstrip("/"), parse_qs(target.query)
    api.requests.append((path, query))
    if b"upgrade: websocket" in head.lower():
        await _exec(api, head, query.get("command", []), reader, writer)
        return False
    length = re.search(rb"content-length: (\d+)", head.lower())
    sent = await reader.readexactly(int(length[1])) if length else b""
    if path != "/version":
        await asyncio.sleep(api.delay)
    status, found = _found(api, method.decode(), path, sent)
    body = json.dumps(found if status < 300 else {"message": f"refused: {path}"}).encode()
    writer.write(f"HTTP/1.1 {status} X\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body)
    await writer.drain()
    return True


def _found(api: Api, method: str, path: str, sent: bytes) -> tuple[int, Any]:
    if path == "/version":
        return 200, {"gitVersion": api.version}
    if method == "POST" and path.endswith("/eviction"):
        return _evicted(api, json.loads(sent))
    if method == "PATCH" and api.conflicts:
        api.conflicts -= 1
        return 409, None
    if method == "PATCH" and path in api.objects:
        _merge(api.objects[path], json.loads(sent))
    if method == "POST":
        document = json.loads(sent)
        if api.kubelet is not None:
            api.kubelet(document)
        api.created.append(document)
        api.objects.setdefault(f"{path}/{document['metadata']['name']}", document)
        return 201 if api.status == 200 else api.status, document
    found = api.objects.get(path)
    if method == "DELETE" and found is not None:
        api.deleted.append(path)
        del api.objects[path]
    return 404 if found is None else api.status, found


def _evicted(api: Api, eviction: dict[str, Any]) -> tuple[int, Any]:
    status = api.evictions.pop(0) if api.evictions else 201
    if status == 201:
        pods = api.objects["/api/v1/pods"]["items"]
        pods[:] = [pod for pod in pods if pod["metadata"]["name"] != eviction["metadata"]["name"]]
    return status, eviction


def _merge(into: dict[str, Any], more: dict[str, Any]) -> None:
    """A JSON merge patch (RFC 7386)."""
    for key, value in more.items():
        if value is None:
            into.pop(key, None)
        elif isinstance(value, dict):
            _merge(into.setdefault(key, {}), value)
        else:
            into[key] = value


async def _exec(
    api: Api, head: bytes, command: list[str], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    socket = WSConnection(ConnectionType.SERVER)
    socket.receive_data(head)
    for event in socket.events():
        if isinstance(event, Request):
            writer.write(socket.send(AcceptConnection(subprotocol="v4.channel.k8s.io")))
    frames = api.exec_frames if api.program is None else _frames(*await asyncio.to_thread(api.program, command))
    for frame in frames:
        writer.write(socket.send(BytesMessage(frame)))
    await writer.drain()
    with contextlib.suppress(asyncio.TimeoutError):
        async with asyncio.timeout(30):
            socket.receive_data(await reader.read(4096))
    if any(isinstance(event, CloseConnection) for event in socket.events()):
        writer.write(socket.send(CloseConnection(code=1000)))
        await writer.drain()


def _frames(code: int, stdout: bytes, stderr: bytes) -> list[bytes]:
    cause = {"reason": "ExitCode", "message": str(code)}
    message = f"command terminated with non-zero exit code: {code}"
    failure = {"status": "Failure", "message": message, "reason": "NonZeroExitCode", "details": {"causes": [cause]}}
    ended = failure if code else {"status": "Success"}
    return [b"\x01" + stdout, b"\x02" + stderr, b"\x03" + json.dumps(ended).encode()]
