"""A lab's two APIs behind a relay that waits before it passes a call on; a process of its own.

  python -m bench.delayed FOLDER TALOSCONFIG NODE KUBECONFIG SECONDS

Writes `talosconfig` and `kubeconfig` for the relay into FOLDER, prints the port of the Talos API, ends with its stdin.
"""

from __future__ import annotations

import asyncio
import base64
import re
import ssl
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import yaml
from grpclib.client import Channel
from grpclib.const import Cardinality, Handler
from grpclib.encoding.base import CodecBase
from grpclib.server import Server, Stream
from typing_extensions import override

from talos_gpu.talos.credentials import TalosConfig
from talos_gpu.talos.endpoint import PORT
from talos_gpu.talos.tls import client_context
from tests.kube.fake_api import kubeconfig
from tests.talos.fake_talos import ADDRESS, server_context
from tests.talos.pki import Authority, talosconfig

METHODS = (
    *(f"/machine.MachineService/{name}" for name in ("Version", "Read", "List", "ServiceList", "Dmesg", "Logs")),
    *(f"/cosi.resource.State/{name}" for name in ("Get", "List")),
)
_LENGTH = re.compile(rb"(?i)content-length: (\d+)")


class _Bytes(CodecBase):
    """Messages as they are."""

    __content_subtype__ = "proto"

    @override
    def encode(self, message: Any, message_type: Any) -> bytes:
        return bytes(message)

    @override
    def decode(self, data: bytes, message_type: Any) -> bytes:
        return data


class TalosRelay:
    """Every method that reads."""

    def __init__(self, node: Channel, seconds: float) -> None:
        self._node, self._seconds = node, seconds

    def __mapping__(self) -> dict[str, Handler]:
        return {path: Handler(self._passing(path), Cardinality.UNARY_STREAM, bytes, bytes) for path in METHODS}

    def _passing(self, path: str) -> Any:  # noqa: ANN401 (grpclib's own type has no name)
        async def handle(stream: Stream[bytes, bytes]) -> None:
            request = await stream.recv_message()
            await asyncio.sleep(self._seconds)
            async with self._node.request(path, Cardinality.UNARY_STREAM, bytes, bytes) as asked:
                await asked.send_message(request or b"", end=True)
                async for reply in asked:
                    await stream.send_message(reply)

        return handle


@asynccontextmanager
async def talos(folder: Path, config: str, node: str, seconds: float) -> AsyncIterator[int]:
    """The machine API; yields the port."""
    authority = Authority()
    (folder / "talosconfig").write_text(talosconfig(authority, authority.client("os:admin", end=timedelta(days=90))))
    channel = Channel(node, PORT, ssl=client_context(TalosConfig.load(config)), codec=_Bytes())
    server = Server([TalosRelay(channel, seconds)], codec=_Bytes())
    await server.start(ADDRESS, 0, ssl=server_context(authority, authority.server(ADDRESS)))
    listening = server._server
    if not isinstance(listening, asyncio.Server):
        raise TypeError("the relay does not listen")
    try:
        yield listening.sockets[0].getsockname()[1]
    finally:
        server.close()
        channel.close()


def _api_server(path: str) -> httpx.AsyncClient:
    """A client with the credentials of the lab's kubeconfig."""
    document = yaml.safe_load(Path(path).read_text())
    cluster, user = document["clusters"][0]["cluster"], document["users"][0]["user"]
    context = ssl.create_default_context(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
    with tempfile.NamedTemporaryFile() as pem:
        for key in ("client-certificate-data", "client-key-data"):
            pem.write(base64.b64decode(user[key]))
        pem.flush()
        context.load_cert_chain(pem.name)
    return httpx.AsyncClient(base_url=cluster["server"], verify=context)


@asynccontextmanager
async def cluster(folder: Path, config: str, seconds: float) -> AsyncIterator[None]:
    """The cluster's API, as plain HTTP with a kubeconfig for it."""
    client = _api_server(config)

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = _LENGTH.search(head)
                await reader.readexactly(int(length[1]) if length else 0)
                await asyncio.sleep(seconds)
                answer = await client.get(head.split(b" ", 2)[1].decode())
                kind, size = answer.headers.get("content-type", "text/plain"), len(answer.content)
                writer.write(f"HTTP/1.1 {answer.status_code} X\r\ncontent-type: {kind}\r\n".encode())
                writer.write(f"content-length: {size}\r\n\r\n".encode() + answer.content)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(converse, ADDRESS, 0)
    async with client, server:
        kubeconfig(folder, server.sockets[0].getsockname()[1])
        yield


async def relay(folder: str, config: str, node: str, kube: str, seconds: str) -> None:
    """Serve until stdin ends."""
    at = Path(folder)
    async with talos(at, config, node, float(seconds)) as port, cluster(at, kube, float(seconds)):
        print(port, flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(relay(*sys.argv[1:]))
