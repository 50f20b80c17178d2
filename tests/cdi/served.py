"""A Talos node with files and folders, served from a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import Any

from grpclib.const import Status
from grpclib.exceptions import GRPCError
from grpclib.server import Server, Stream
from typing_extensions import override

from talos_gpu.cdi import facts
from talos_gpu.talos.facts import EXTENSIONS, SBOM_ITEMS
from talos_gpu.talos.proto import machine_pb2
from tests.talos.fake_talos import ADDRESS, FakeTalos, Node, server_context
from tests.talos.pki import Authority

SOURCE, INSTALLED = "/var/cdi/nvidia.yaml", "/var/run/cdi/nvidia.yaml"
UUID = "GPU-3b1f2c4d-5e6f-7a8b-9c0d-1e2f3a4b5c6d"


class FileSystem(FakeTalos):
    """Lists the folders of the node's files."""

    @override
    async def _list(self, stream: Stream[Any, Any]) -> None:
        request = await stream.recv_message()
        assert request is not None
        inside = [PurePosixPath(path).relative_to(request.root) for path in self.node.files if self._in(path, request)]
        if not inside:
            raise GRPCError(Status.NOT_FOUND, f"lstat {request.root}: no such file or directory")
        for name, deeper in {path.parts[0]: len(path.parts) > 1 for path in inside}.items():
            await stream.send_message(machine_pb2.FileInfo(name=name, relative_name=name, is_dir=deeper))

    def _in(self, path: str, request: Any) -> bool:
        return PurePosixPath(path).is_relative_to(request.root)


def node_of(spec: str, driver: str = "535.247.01") -> Node:
    """The seed's node with a generated spec."""
    needed = facts(spec)
    files = dict.fromkeys((*needed.host_paths, *needed.executables), b"")
    return Node(
        files={
            **files,
            SOURCE: spec.encode(),
            "/proc/driver/nvidia/version": f"NVRM version: NVIDIA UNIX x86_64 Kernel Module  {driver}  Mon\n".encode(),
            "/proc/driver/nvidia/gpus/0000:01:00.0/information": f"Model: P2000\nGPU UUID: \t {UUID}\n".encode(),
            "/proc/devices": b"Character devices:\n195 nvidia\n511 nvidia-uvm\n",
        },
        resources={
            (EXTENSIONS, "1"): {"metadata": {"name": "nvidia-container-toolkit-lts", "version": "535.247.01-v1.17.8"}},
            (SBOM_ITEMS, "containerd"): {"version": "v2.1.4"},
        },
    )


@contextmanager
def served(authority: Authority, *nodes: Node) -> Iterator[list[int]]:
    """Serve each node on ADDRESS; yields their ports."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def start(node: Node) -> tuple[Server, int]:
        server = Server([FileSystem(node)])
        await server.start(ADDRESS, 0, ssl=server_context(authority, authority.server(ADDRESS)))
        assert isinstance(server._server, asyncio.Server)
        return server, server._server.sockets[0].getsockname()[1]

    async def stop(server: Server) -> None:
        server.close()
        await server.wait_closed()

    started = [asyncio.run_coroutine_threadsafe(start(node), loop).result() for node in nodes]
    try:
        yield [port for _, port in started]
    finally:
        for server, _ in started:
            asyncio.run_coroutine_threadsafe(stop(server), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
