"""talosconfig: who we are to the Talos API.

The file's form is siderolabs/talos pkg/machinery/client/config (v1.11.6): `context`, and `contexts.NAME` with
`endpoints`, `nodes` and base64 PEM in `ca`, `crt`, `key`. The certificate's organisations are its Talos roles.
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Never

import yaml
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from cryptography.x509.oid import NameOID
from typing_extensions import override

from talos_gpu.talos.errors import CertificateExpired, TalosConfigInvalid

# Talos writes its own PEM label for Ed25519 keys (siderolabs/crypto); the content is plain PKCS #8.
_TALOS_KEY_LABEL = b"ED25519 PRIVATE KEY"

EXPIRES_SOON = timedelta(days=30)
"""Talos's own client certificates live a year, those of `talosctl config new` as long as asked for."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """One context of a talosconfig. Certificates are PEM bytes; the key is kept out of repr and cannot be pickled."""

    context: str
    endpoints: tuple[str, ...]
    nodes: tuple[str, ...]
    roles: tuple[str, ...]
    """As the certificate has them: `os:admin`, `os:operator`, `os:reader`."""
    not_before: datetime
    not_after: datetime
    ca: bytes = field(repr=False)
    crt: bytes = field(repr=False)
    key: bytes = field(repr=False)

    def require_valid(self, now: datetime | None = None) -> None:
        """Raise CertificateExpired unless the client certificate is valid at `now` (default: this moment)."""
        moment = now or datetime.now(UTC)
        if not self.not_before <= moment <= self.not_after:
            raise CertificateExpired(self.context, self.not_before, self.not_after, moment)

    def expiry_warning(self, now: datetime | None = None, *, within: timedelta = EXPIRES_SOON) -> str | None:
        """Return a sentence if the client certificate expires within `within` from `now`, None if not.

        One that has expired is no warning any more: `require_valid` refuses it.
        """
        left = self.not_after - (now or datetime.now(UTC))
        if left > within:
            return None
        return (
            f"the client certificate of talosconfig context {self.context!r} expires on "
            f"{self.not_after:%Y-%m-%d %H:%M} UTC, in {max(left.days, 0)} days: make a new one with talosctl config new"
        )

    @override
    def __reduce_ex__(self, protocol: object) -> Never:
        raise TypeError("credentials are never pickled: they would end in a state file")


class TalosConfig:
    """A talosconfig, read."""

    def __init__(self, document: Mapping[str, Any], origin: str) -> None:
        self._contexts: Mapping[str, Any] = document["contexts"]
        self._current = str(document.get("context") or "")
        self._origin = origin

    @classmethod
    def load(cls, source: str | Path | None = None, context: str | None = None) -> Credentials:
        """Read `source` and return the credentials of `context` (default: the file's current one).

        `source` is a path, or the file's text (anything with a line break); without it $TALOSCONFIG, then
        ~/.talos/config. Raises TalosConfigInvalid with every fault; an expired certificate is returned as it is, so
        that it can be reported: `require_valid` refuses it, and MachineClient calls that.
        """
        text, origin = _read(source)
        return cls.parse(text, origin).credentials(context)

    @classmethod
    def parse(cls, text: str, origin: str = "talosconfig") -> TalosConfig:
        """Read the file's text; `origin` names it in errors."""
        try:
            document = yaml.safe_load(text)
        except yaml.MarkedYAMLError as error:
            where = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
            raise TalosConfigInvalid(origin, [f"{where}not YAML: {error.problem}"]) from None
        if not isinstance(document, dict) or not isinstance(document.get("contexts"), dict) or not document["contexts"]:
            raise TalosConfigInvalid(origin, ["no contexts in it"])
        return cls(document, origin)

    @property
    def contexts(self) -> tuple[str, ...]:
        """The names of all contexts, sorted."""
        return tuple(sorted(str(name) for name in self._contexts))

    def credentials(self, context: str | None = None) -> Credentials:
        """Return the credentials of `context`; raise TalosConfigInvalid with every fault of that context."""
        name = context or self._current
        if name not in self._contexts:
            fault = f"no context {name!r} (there is: {', '.join(self.contexts)})" if name else "no current context"
            raise TalosConfigInvalid(self._origin, [fault], remedy="name one of the contexts")
        entry = self._contexts[name]
        if not isinstance(entry, dict):
            raise TalosConfigInvalid(self._origin, [f"contexts.{name} is no mapping"])
        reader = _ContextReader(name, entry)
        found = reader.read()
        if found is None or reader.faults:
            raise TalosConfigInvalid(self._origin, reader.faults)
        return found


class _ContextReader:
    """Reads one context and gathers what is wrong with it."""

    def __init__(self, name: str, entry: Mapping[str, Any]) -> None:
        self.faults: list[str] = []
        self._name = name
        self._entry = entry

    def read(self) -> Credentials | None:
        endpoints, nodes = self._addresses("endpoints"), self._addresses("nodes")
        ca, crt, key = self._pem("ca"), self._pem("crt"), self._pem("key")
        self._certificate("ca", ca)
        certificate = self._certificate("crt", crt)
        key = key.replace(_TALOS_KEY_LABEL, b"PRIVATE KEY")
        self._matches(certificate, key)
        if certificate is None:
            return None
        organisations = certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
        return Credentials(
            context=self._name,
            endpoints=endpoints,
            nodes=nodes,
            roles=tuple(str(attribute.value) for attribute in organisations),
            not_before=certificate.not_valid_before_utc,
            not_after=certificate.not_valid_after_utc,
            ca=ca,
            crt=crt,
            key=key,
        )

    def _fault(self, key: str, text: str) -> None:
        self.faults.append(f"contexts.{self._name}.{key}: {text}")

    def _addresses(self, key: str) -> tuple[str, ...]:
        value = self._entry.get(key) or []
        if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
            self._fault(key, "not a list of addresses")
            return ()
        return tuple(value)

    def _pem(self, key: str) -> bytes:
        value = self._entry.get(key)
        if not isinstance(value, str) or not value:
            self._fault(key, "missing")
            return b""
        try:
            pem = base64.b64decode("".join(value.split()), validate=True)
        except (binascii.Error, ValueError):
            self._fault(key, "not base64")
            return b""
        if not pem.lstrip().startswith(b"-----BEGIN "):
            self._fault(key, "not PEM")
            return b""
        return pem

    def _certificate(self, key: str, pem: bytes) -> x509.Certificate | None:
        if not pem:
            return None
        try:
            return x509.load_pem_x509_certificate(pem)
        except ValueError:
            self._fault(key, "not a certificate")
            return None

    def _matches(self, certificate: x509.Certificate | None, key: bytes) -> None:
        if not key:
            return
        try:
            public = load_pem_private_key(key, password=None).public_key()
        except (ValueError, TypeError):
            self._fault("key", "not a private key")
            return
        form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        if certificate is not None and certificate.public_key().public_bytes(*form) != public.public_bytes(*form):
            self._fault("key", "does not belong to the certificate in crt")


def _read(source: str | Path | None) -> tuple[str, str]:
    if isinstance(source, str) and "\n" in source:
        return source, "talosconfig"
    path = Path(source or os.environ.get("TALOSCONFIG") or "~/.talos/config").expanduser()
    try:
        return path.read_text(encoding="utf-8"), str(path)
    except OSError as error:
        raise TalosConfigInvalid(
            str(path),
            [error.strerror or "cannot be read"],
            remedy="set talosconfig in the stack, or TALOSCONFIG in the environment, to the file's path",
        ) from None
    except UnicodeDecodeError:
        raise TalosConfigInvalid(str(path), ["not text"]) from None
