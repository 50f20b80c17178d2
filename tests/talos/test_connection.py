"""Connecting: certificates of both sides, ports where nothing or something else listens."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
from datetime import timedelta

import pytest

from talos_gpu.talos.client import MachineClient
from talos_gpu.talos.credentials import Credentials, TalosConfig
from talos_gpu.talos.errors import (
    CertificateExpired,
    CertificateRejected,
    Unreachable,
)
from tests.talos.asking import AUTHORITY, credentials
from tests.talos.fake_talos import ADDRESS, Node, server_context, serving
from tests.talos.pki import Authority, talosconfig


def dial(port: int, who: Credentials, *, seconds: float = 30.0) -> None:
    async def conversation() -> None:
        async with MachineClient(who, ADDRESS, port=port, timeout=seconds) as client:
            await client.version()

    asyncio.run(conversation())


def test_a_closed_port_is_unreachable() -> None:
    with socket.socket() as free:
        free.bind((ADDRESS, 0))
        port = free.getsockname()[1]  # bound and not listening: nobody else takes it
        with pytest.raises(Unreachable) as caught:
            dial(port, credentials())
    assert str(caught.value) == (
        f"Version on 127.0.0.1: cannot connect to 127.0.0.1:{port}: Connect call failed ('127.0.0.1', {port})\n"
        "  remedy: check that the node is up, that the address is right and that nothing blocks its API port"
    )


def serve_and_dial(who: Credentials, server_of: tuple[Authority, str]) -> str:
    async def conversation() -> None:
        authority, address = server_of
        async with (
            serving(Node(), authority, authority.server(address)) as port,
            MachineClient(who, ADDRESS, port=port) as client,
        ):
            await client.version()

    with pytest.raises(CertificateRejected) as caught:
        asyncio.run(conversation())
    return caught.value.detail


def test_a_server_of_another_authority_is_rejected() -> None:
    assert "the server's certificate: " in serve_and_dial(credentials(), (Authority(), ADDRESS))


def test_a_server_certificate_for_another_address_is_rejected() -> None:
    assert serve_and_dial(credentials(), (AUTHORITY, "127.0.0.2")) == (
        "the server's certificate: IP address mismatch, certificate is not valid for '127.0.0.1'."
    )


def test_a_client_certificate_of_another_authority_is_rejected() -> None:
    who = TalosConfig.load(talosconfig(AUTHORITY, Authority().client("os:admin")))
    context = server_context(AUTHORITY, AUTHORITY.server(ADDRESS))
    with socket.create_server((ADDRESS, 0)) as server:

        def refuse() -> None:
            connection, _ = server.accept()
            with connection, contextlib.suppress(ssl.SSLError):
                context.wrap_socket(connection, server_side=True)  # unlike asyncio's, this one sends its alert

        thread = threading.Thread(target=refuse)
        thread.start()
        with pytest.raises(CertificateRejected) as caught:
            dial(server.getsockname()[1], who)
        thread.join()
    assert caught.value.detail.startswith("the server did not accept the client certificate (")


def test_a_connection_that_ends_right_after_the_handshake_hints_at_the_certificate() -> None:
    who = TalosConfig.load(talosconfig(AUTHORITY, Authority().client("os:admin")))

    async def conversation() -> None:
        async with serving(Node(), AUTHORITY) as port, MachineClient(who, ADDRESS, port=port) as client:
            await client.version()

    with pytest.raises(Unreachable, match="it may not accept the client certificate"):
        asyncio.run(conversation())


def test_something_that_is_not_tls_is_named() -> None:
    async def conversation() -> None:
        async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            await writer.drain()
            writer.close()

        plain = await asyncio.start_server(greet, ADDRESS, 0)
        async with plain, MachineClient(credentials(), ADDRESS, port=plain.sockets[0].getsockname()[1]) as client:
            await client.version()

    with pytest.raises(Unreachable, match=r"no TLS at 127\.0\.0\.1"):
        asyncio.run(conversation())


def test_an_expired_certificate_is_refused_before_dialling() -> None:
    pair = AUTHORITY.client("os:admin", start=timedelta(days=-3), end=timedelta(days=-2))
    who = TalosConfig.load(talosconfig(AUTHORITY, pair))
    with pytest.raises(CertificateExpired) as caught:
        dial(1, who)
    assert str(caught.value) == (
        f"the client certificate of talosconfig context 'lab' expired on {who.not_after:%Y-%m-%d %H:%M} UTC\n"
        "  remedy: make a new one: talosctl config new (or from secrets.yaml)"
    )
