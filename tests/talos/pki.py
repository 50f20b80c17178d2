"""A Talos-like PKI: Ed25519, roles as organisations, server certificates for IP addresses."""

from __future__ import annotations

import base64
import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import yaml
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, PEM."""

    crt: bytes
    key: bytes

    @property
    def talos_key(self) -> bytes:
        """The key under the label that Talos gives it."""
        return self.key.replace(b"PRIVATE KEY", b"ED25519 PRIVATE KEY")


class Authority:
    """One cluster's OS authority."""

    def __init__(self) -> None:
        self._key = Ed25519PrivateKey.generate()
        self._name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "talos")])
        crt = (
            self._builder(self._name, timedelta(days=-1), timedelta(days=10))
            .public_key(self._key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(self._key, None)
        )
        self.crt = crt.public_bytes(Encoding.PEM)

    def server(self, *addresses: str) -> Pair:
        """A server's certificate for IP addresses."""
        names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(item)) for item in addresses])
        return self._issue(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "node")]), names=names)

    def client(self, *roles: str, start: timedelta = timedelta(hours=-1), end: timedelta = timedelta(hours=1)) -> Pair:
        """A client's certificate with roles, valid from now+start to now+end."""
        subject = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, role) for role in roles])
        return self._issue(subject, start=start, end=end)

    def _issue(
        self,
        subject: x509.Name,
        *,
        names: x509.SubjectAlternativeName | None = None,
        start: timedelta = timedelta(hours=-1),
        end: timedelta = timedelta(hours=1),
    ) -> Pair:
        key = Ed25519PrivateKey.generate()
        builder = self._builder(subject, start, end).public_key(key.public_key())
        if names is not None:
            builder = builder.add_extension(names, critical=False)
        crt = builder.sign(self._key, None).public_bytes(Encoding.PEM)
        return Pair(crt, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))

    def _builder(self, subject: x509.Name, start: timedelta, end: timedelta) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + start)
            .not_valid_after(now + end)
        )


def talosconfig(authority: Authority, client: Pair, **changes: object) -> str:
    """A talosconfig's text, as `talosctl gen config` writes it; `changes` replace keys of its one context."""
    context = {
        "endpoints": ["127.0.0.1"],
        "nodes": ["127.0.0.1"],
        "ca": base64.b64encode(authority.crt).decode(),
        "crt": base64.b64encode(client.crt).decode(),
        "key": base64.b64encode(client.talos_key).decode(),
        **changes,
    }
    text: str = yaml.safe_dump({"context": "lab", "contexts": {"lab": context}})
    return text


def elsewhere(text: str) -> str:
    """A talosconfig in which another context, that cannot be used, is the current one: `lab` has to be named."""
    document = yaml.safe_load(text)
    moved: str = yaml.safe_dump({"context": "elsewhere", "contexts": {**document["contexts"], "elsewhere": {}}})
    return moved
