"""A Talos node's machine API at the transport: TLS with client certificates, roles, chunks, refusal to forward."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message
from grpclib.const import Cardinality, Handler, Status
from grpclib.exceptions import GRPCError
from grpclib.protocol import H2Protocol
from grpclib.server import Server, Stream
from typing_extensions import override

from talos_gpu.talos.proto import common_pb2, machine_pb2, state_pb2
from tests.talos.pki import Authority, Pair

ADDRESS = "127.0.0.1"
SENSITIVE = frozenset(("MachineConfigs.config.talos.dev",))
"""Resources that Talos gives to os:admin only."""
_RANK = {"os:reader": 0, "os:operator": 1, "os:admin": 2}


@dataclass
class Node:
    """What the fake node is like; tests change it."""

    files: dict[str, bytes] = field(default_factory=dict)
    resources: dict[tuple[str, str], Mapping[str, Any] | str] = field(default_factory=dict)
    services: list[machine_pb2.ServiceInfo] = field(default_factory=list)
    folder: list[machine_pb2.FileInfo] = field(default_factory=list)
    chunk: int = 64 * 1024
    in_band: str = ""
    """An error that every answer carries in its metadata."""
    delay: float = 0.0
    """Seconds before every answer."""
    unavailable: int = 0
    """How many of the next calls end with UNAVAILABLE."""
    cut_after: int | None = None
    """Chunks after which the connection of a stream is cut."""
    refuses_config: str = ""
    restarts: bool = True
    """Whether applying a config restarts it: never from 1.14 on."""
    unknown: frozenset[str] = frozenset()
    """Kinds of resources that the release has not, and refuses to list."""
    forwards_to: str = ""
    """Another node's address to which calls may be sent through this one: a control plane's."""
    calls: list[str] = field(default_factory=list)
    waiting: int = 0
    """Calls that wait for their answer now."""
    most_waiting: int = 0
    metadata: list[str | None] = field(default_factory=list)
    """The metadata `node` of every call."""
    applied: list[machine_pb2.ApplyConfigurationRequest] = field(default_factory=list)


class FakeTalos:
    """Serves a Node."""

    def __init__(self, node: Node) -> None:
        self.node = node

    def __mapping__(self) -> dict[str, Handler]:
        machine, state = "/machine.MachineService/", "/cosi.resource.State/"
        stream, unary = Cardinality.UNARY_STREAM, Cardinality.UNARY_UNARY
        m = machine_pb2
        return {
            machine + "Version": self._handler(self._version, unary, Empty, m.VersionResponse, "os:reader"),
            machine + "Read": self._handler(self._read, stream, m.ReadRequest, common_pb2.Data, "os:admin"),
            machine + "List": self._handler(self._list, stream, m.ListRequest, m.FileInfo, "os:reader"),
            machine + "ServiceList": self._handler(self._services, unary, Empty, m.ServiceListResponse, "os:reader"),
            machine + "Dmesg": self._handler(self._dmesg, stream, m.DmesgRequest, common_pb2.Data, "os:reader"),
            machine + "ApplyConfiguration": self._handler(
                self._apply, unary, m.ApplyConfigurationRequest, m.ApplyConfigurationResponse, "os:admin"
            ),
            machine + "Reboot": self._handler(self._reboot, unary, m.RebootRequest, m.RebootResponse, "os:operator"),
            state + "Get": self._handler(self._get, unary, state_pb2.GetRequest, state_pb2.GetResponse, "os:reader"),
            state + "List": self._handler(
                self._list_resources, stream, state_pb2.ListRequest, state_pb2.ListResponse, "os:reader"
            ),
        }

    def _handler(
        self,
        method: Callable[[Stream[Any, Any]], Coroutine[Any, Any, None]],
        cardinality: Cardinality,
        request: type[Message],
        reply: type[Message],
        role: str,
    ) -> Handler:
        async def handle(stream: Stream[Any, Any]) -> None:
            self.node.calls.append(method.__name__.lstrip("_"))
            assert stream.metadata is not None
            target = stream.metadata.get("node")
            self.node.metadata.append(target if isinstance(target, str) else None)
            self.node.waiting += 1
            self.node.most_waiting = max(self.node.most_waiting, self.node.waiting)
            await asyncio.sleep(self.node.delay)
            self.node.waiting -= 1
            if self.node.unavailable:
                self.node.unavailable -= 1
                raise GRPCError(Status.UNAVAILABLE, "error reading from server: EOF")
            if target not in {None, ADDRESS, self.node.forwards_to or None}:
                raise GRPCError(Status.PERMISSION_DENIED, "no request forwarding")
            if _RANK[_role(stream)] < _RANK[role]:
                raise GRPCError(Status.PERMISSION_DENIED, "not authorized")
            await method(stream)

        return Handler(handle, cardinality, request, reply)

    @property
    def _metadata(self) -> common_pb2.Metadata:
        return common_pb2.Metadata(hostname="node", error=self.node.in_band)

    async def _version(self, stream: Stream[Any, Any]) -> None:
        version = machine_pb2.Version(
            metadata=self._metadata,
            version=machine_pb2.VersionInfo(tag="v1.11.1", sha="abc", arch="amd64"),
            platform=machine_pb2.PlatformInfo(name="metal"),
        )
        await stream.send_message(machine_pb2.VersionResponse(messages=[version]))

    async def _read(self, stream: Stream[Any, Any]) -> None:
        request = await stream.recv_message()
        assert request is not None
        content = self.node.files.get(request.path)
        if content is None:
            raise GRPCError(Status.NOT_FOUND, f"stat {request.path}: no such file or directory")
        for sent, start in enumerate(range(0, len(content), self.node.chunk)):
            if sent == self.node.cut_after:
                assert stream._stream._transport is not None
                stream._stream._transport.abort()
                return
            await stream.send_message(common_pb2.Data(chunk=content[start : start + self.node.chunk]))
        if self.node.in_band:
            await stream.send_message(common_pb2.Data(metadata=self._metadata))

    async def _list(self, stream: Stream[Any, Any]) -> None:
        for info in self.node.folder:
            await stream.send_message(info)

    async def _dmesg(self, stream: Stream[Any, Any]) -> None:
        for line in (b"kern: info: one", b"kern: info: two\n"):
            await stream.send_message(common_pb2.Data(chunk=line))

    async def _services(self, stream: Stream[Any, Any]) -> None:
        answer = machine_pb2.ServiceList(metadata=self._metadata, services=self.node.services)
        await stream.send_message(machine_pb2.ServiceListResponse(messages=[answer]))

    async def _apply(self, stream: Stream[Any, Any]) -> None:
        request = await stream.recv_message()
        assert request is not None
        if self.node.refuses_config:
            raise GRPCError(Status.INVALID_ARGUMENT, self.node.refuses_config)
        modes = machine_pb2.ApplyConfigurationRequest
        if request.mode in {modes.NO_REBOOT, modes.TRY}:  # a dry run of it, too (up to 1.13)
            raise GRPCError(Status.INVALID_ARGUMENT, "this config change can't be applied in immediate mode")
        self.node.applied.append(request)
        answer = machine_pb2.ApplyConfiguration(
            metadata=self._metadata,
            warnings=["machine.files is deprecated"],
            mode="STAGED" if request.mode == modes.STAGED else "REBOOT" if self.node.restarts else "NO_REBOOT",
            mode_details="Applied configuration with a reboot\n+  token: abcdef.0123456789abcdef\n",
        )
        await stream.send_message(machine_pb2.ApplyConfigurationResponse(messages=[answer]))

    async def _reboot(self, stream: Stream[Any, Any]) -> None:
        await stream.recv_message()
        await stream.send_message(machine_pb2.RebootResponse(messages=[machine_pb2.Reboot(metadata=self._metadata)]))

    async def _get(self, stream: Stream[Any, Any]) -> None:
        request = await stream.recv_message()
        assert request is not None
        if request.type in SENSITIVE and _role(stream) != "os:admin":
            raise GRPCError(Status.PERMISSION_DENIED, "not authorized")
        spec = self.node.resources.get((request.type, request.id))
        if spec is None:
            raise GRPCError(Status.NOT_FOUND, f"resource {request.type}(runtime/{request.id}@undefined) doesn't exist")
        await stream.send_message(state_pb2.GetResponse(resource=_resource(request.type, request.id, spec)))

    async def _list_resources(self, stream: Stream[Any, Any]) -> None:
        request = await stream.recv_message()
        assert request is not None
        if request.type in self.node.unknown:
            raise GRPCError(Status.NOT_FOUND, f"resource {request.type} is not registered")
        for (kind, id_), spec in self.node.resources.items():
            if kind == request.type:
                await stream.send_message(state_pb2.ListResponse(resource=_resource(kind, id_, spec)))


def _resource(kind: str, id_: str, spec: Mapping[str, Any] | str) -> state_pb2.Resource:
    return state_pb2.Resource(
        metadata=state_pb2.Metadata(namespace="runtime", type=kind, id=id_, version="1", phase="running"),
        spec=state_pb2.Spec(yaml_spec=spec if isinstance(spec, str) else yaml.safe_dump(dict(spec))),
    )


def _role(stream: Stream[Any, Any]) -> str:
    assert stream.peer is not None
    certificate = stream.peer.cert()
    assert certificate is not None
    names: list[str] = [value for item in certificate["subject"] for key, value in item if key == "organizationName"]
    return max(names, key=lambda name: _RANK[name])


def server_context(authority: Authority, pair: Pair) -> ssl.SSLContext:
    """TLS that demands a client certificate of `authority`, as apid does."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.verify_mode = ssl.CERT_REQUIRED
    context.set_alpn_protocols(["h2"])
    context.load_verify_locations(cadata=authority.crt.decode())
    with tempfile.NamedTemporaryFile() as pem:
        pem.write(pair.crt + pair.key)
        pem.flush()
        context.load_cert_chain(pem.name)
    return context


class _Server(Server):
    """Knows its connections: a node that goes away takes them with it, and no call on one waits for its deadline."""

    def __init__(self, served: FakeTalos) -> None:
        super().__init__([served])
        self._protocols: list[H2Protocol] = []

    @override
    def _protocol_factory(self) -> H2Protocol:
        self._protocols.append(super()._protocol_factory())
        return self._protocols[-1]

    def cut(self) -> None:
        """End every connection that is there."""
        for protocol in self._protocols:
            if hasattr(protocol, "connection"):  # made when it is connected
                protocol.connection.close()


@contextlib.asynccontextmanager
async def serving(node: Node, authority: Authority, server: Pair | None = None, port: int = 0) -> AsyncIterator[int]:
    """Serve `node`, at `port` or one that is free; yields the port."""
    context = server_context(authority, server or authority.server(ADDRESS))
    fake = _Server(FakeTalos(node))
    await fake.start(ADDRESS, port, ssl=context)
    assert isinstance(fake._server, asyncio.Server)
    try:
        yield fake._server.sockets[0].getsockname()[1]
    finally:
        fake.close()
        fake.cut()
        await fake.wait_closed()
