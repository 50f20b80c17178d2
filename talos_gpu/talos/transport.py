"""gRPC over one mutually authenticated connection: deadlines, retries, and errors as talos_gpu.talos.errors.

grpclib over Python's ssl, because Talos's certificates are Ed25519, which grpcio's TLS does not verify with
(grpc/grpc#24252).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from google.protobuf.message import Message
from grpclib.client import Channel, Handler
from grpclib.config import Configuration
from grpclib.const import Cardinality, Status
from grpclib.encoding.proto import ProtoCodec
from grpclib.exceptions import GRPCError, StreamTerminatedError
from grpclib.protocol import H2Protocol
from h2.config import H2Configuration
from typing_extensions import override

from talos_gpu.talos import failures
from talos_gpu.talos.credentials import Credentials
from talos_gpu.talos.endpoint import split_endpoint
from talos_gpu.talos.errors import ApiError, DeadlineExceeded, Unreachable
from talos_gpu.talos.proto import common_pb2
from talos_gpu.talos.tls import client_context

MAX_MESSAGE = 32 * 2**20
"""Bytes; Talos's own limit (siderolabs/talos pkg/machinery/constants GRPCMaxMessageSize)."""

_BACKOFF = (0.1, 0.4)
"""Seconds before the second and the third attempt."""

_FAREWELL = 1.0
"""Seconds that the other side has to close a connection that we have closed."""

RequestT = TypeVar("RequestT", bound=Message)
ReplyT = TypeVar("ReplyT", bound=Message)


@dataclass(frozen=True, slots=True)
class Method(Generic[RequestT, ReplyT]):
    """A method of the API. `repeatable`: asking twice does no more than asking once, so it may be retried."""

    path: str
    request: type[RequestT]
    reply: type[ReplyT]
    role: str
    streams: bool = False
    repeatable: bool = True

    @property
    def name(self) -> str:
        """The method's name without its service."""
        return self.path.rpartition("/")[2]


class Transport:
    """Calls to one node through one endpoint. Connects at the first call and again when the connection was lost."""

    def __init__(
        self, credentials: Credentials, endpoint: str, node: str | None, port: int, timeout: float, *, attempts: int
    ) -> None:
        host, self._port = split_endpoint(endpoint, port)
        self._endpoint = f"[{host}]:{self._port}" if ":" in host else f"{host}:{self._port}"
        self._node = node or host
        self._metadata = {"node": node} if node is not None and node != host else None
        self._roles = credentials.roles
        self._timeout = timeout
        self._attempts = attempts
        self._channel = _Channel(host, self._port, ssl=client_context(credentials), codec=_Codec())

    async def call(
        self, method: Method[RequestT, ReplyT], request: RequestT, *, seconds: float | None = None
    ) -> list[ReplyT]:
        """Make the call and return the replies (one, unless the method streams); `seconds` are for all of it.

        Lost connections and the status UNAVAILABLE are retried with backoff if the method is repeatable.
        Raises ApiError.
        """
        seconds = self._timeout if seconds is None else seconds
        call = self._described(method, seconds)
        last: Unreachable | None = None
        try:
            async with asyncio.timeout(seconds):
                for pause in (*_BACKOFF[: self._attempts - 1 if method.repeatable else 0], None):
                    try:
                        return await self._attempt(call, method, request)
                    except Unreachable as error:
                        last = error
                        if pause is None:
                            raise
                        await asyncio.sleep(pause)
        except TimeoutError:
            raise (last or DeadlineExceeded(call.name, call.node, seconds)) from None
        raise AssertionError("the last attempt returns or raises")

    def failure(self, method: Method[RequestT, ReplyT], text: str) -> ApiError:
        """Return the error for a failure that stands in a reply of its own kind; `text` is the node's."""
        return failures.of_status(self._described(method, self._timeout), Status.UNKNOWN, text)

    def _described(self, method: Method[RequestT, ReplyT], seconds: float) -> failures.Call:
        return failures.Call(method.name, method.role, self._endpoint, self._node, self._roles, seconds)

    async def close(self) -> None:
        """End the connection."""
        await self._channel.end()

    async def _attempt(self, call: failures.Call, method: Method[RequestT, ReplyT], request: RequestT) -> list[ReplyT]:
        # In a task of its own: grpclib wakes a waiting call by cancelling its task, and asyncio counts that as a
        # cancellation of whoever runs in it (a TaskGroup or a timeout of the caller would take it for theirs).
        exchange = asyncio.create_task(self._exchange(method, request))
        try:
            replies = await exchange
        except GRPCError as error:
            raise failures.of_status(call, error.status, error.message or "") from None
        except StreamTerminatedError:
            raise failures.of_lost(call, self._channel.lost) from None
        except OSError as error:
            raise failures.of_connecting(call, error) from None
        for metadata in _metadata_of(replies):
            if metadata.error:
                status = Status(metadata.status.code) if metadata.status.code else Status.UNKNOWN
                raise failures.of_status(call, status, metadata.error)
        return replies

    async def _exchange(self, method: Method[RequestT, ReplyT], request: RequestT) -> list[ReplyT]:
        cardinality = Cardinality.UNARY_STREAM if method.streams else Cardinality.UNARY_UNARY
        replies: list[ReplyT] = []
        stream = self._channel.request(method.path, cardinality, method.request, method.reply, metadata=self._metadata)
        async with stream:
            await stream.send_message(request, end=True)
            replies.extend([reply async for reply in stream])
            await stream.recv_trailing_metadata()  # without it, a stream cut off after a whole message would pass
        return replies


def _metadata_of(replies: Iterable[Message]) -> Iterator[common_pb2.Metadata]:
    """Yield what Talos puts beside each node's answer, where a failure of that node alone stands in-band."""
    for reply in replies:
        for answer in getattr(reply, "messages", [reply]):
            metadata = getattr(answer, "metadata", None)
            if isinstance(metadata, common_pb2.Metadata):
                yield metadata


class _Codec(ProtoCodec):
    """protobuf, bounded."""

    @override
    def decode(self, data: bytes, message_type: type[Any]) -> Any:
        if len(data) > MAX_MESSAGE:
            raise GRPCError(Status.RESOURCE_EXHAUSTED, f"a message of {len(data)} bytes, more than {MAX_MESSAGE}")
        return super().decode(data, message_type)


class _Protocol(H2Protocol):
    """Keeps why the connection ended, which grpclib forgets, and tells when it has."""

    def __init__(self, config: Configuration, h2_config: H2Configuration) -> None:
        super().__init__(Handler(), config, h2_config)
        self.cause: BaseException | None = None
        self.settled = asyncio.Event()
        """Set by the server's first bytes, or by the end."""
        self.transport: asyncio.Transport | None = None
        self.ended = asyncio.Event()

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.Transport):
            self.transport = transport
        super().connection_made(transport)

    @override
    def data_received(self, data: bytes) -> None:
        self.settled.set()
        super().data_received(data)

    @override
    def connection_lost(self, exc: BaseException | None) -> None:
        self.cause = exc
        self.ended.set()
        self.settled.set()
        super().connection_lost(exc)


class _Channel(Channel):
    _latest: _Protocol | None = None

    @property
    def lost(self) -> BaseException | None:
        """Why the latest connection ended; None if it has not, or for no reason given."""
        return self._latest.cause if self._latest else None

    async def end(self) -> None:
        """Close, and wait until the socket is closed: politely, then not."""
        self.close()
        if self._latest is None or self._latest.transport is None:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_FAREWELL):
                await self._latest.ended.wait()
        self._latest.transport.abort()

    @override
    async def _create_connection(self) -> H2Protocol:
        # A TLS 1.3 server looks at our certificate when for us the handshake is over. Its refusal is lost if we write
        # to the connection that it has closed, so nothing is asked before it has spoken.
        protocol = await super()._create_connection()
        if self._latest is not None:
            await self._latest.settled.wait()
            if self._latest.ended.is_set():
                cause = self._latest.cause
                raise cause if isinstance(cause, OSError) else ConnectionResetError
        return protocol

    @override
    def _protocol_factory(self) -> H2Protocol:
        self._latest = _Protocol(self._config, self._h2_config)
        return self._latest
