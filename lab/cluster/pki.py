"""Certificates and kubeconfigs of the lab's cluster, signed by the Kubernetes CA of its Talos secrets bundle."""

from __future__ import annotations

import base64
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_LIFETIME = timedelta(days=3650)


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its key, PEM."""

    certificate: bytes
    key: bytes

    def write(self, folder: Path, name: str) -> None:
        """Write NAME.crt and NAME.key into `folder`; the key readable by its owner only."""
        (folder / f"{name}.crt").write_bytes(self.certificate)
        write_private(folder / f"{name}.key", self.key)


def write_private(path: Path, data: bytes | str) -> None:
    """Write `data` so that nobody else could read it at any moment."""
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_bytes(data.encode() if isinstance(data, str) else data)


class Authority:
    """A certificate authority that lies in two PEM files."""

    def __init__(self, certificate: Path, key: Path) -> None:
        self.certificate_pem = certificate.read_bytes()
        self._certificate = x509.load_pem_x509_certificate(self.certificate_pem)
        loaded = serialization.load_pem_private_key(key.read_bytes(), password=None)
        if not isinstance(loaded, ec.EllipticCurvePrivateKey):
            raise TypeError(f"{key}: Talos makes an ECDSA key for the Kubernetes CA, this is {type(loaded).__name__}")
        self._key = loaded

    def issue(self, common_name: str, organization: str = "", hosts: Sequence[str] = ()) -> Pair:
        """A certificate for client and server use; `hosts` are DNS names and IP addresses."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)]
        if organization:
            subject.insert(0, x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization))
        now = datetime.now(UTC)
        usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name(subject))
            .issuer_name(self._certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(minutes=5))
            .not_valid_after(min(now + _LIFETIME, self._certificate.not_valid_after_utc))
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        )
        if hosts:
            names = x509.SubjectAlternativeName([_general_name(host) for host in hosts])
            builder = builder.add_extension(names, critical=False)
        return Pair(
            builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM),
            _private_pem(key),
        )

    def kubeconfig(self, server: str, user: str, pair: Pair) -> str:
        """A kubeconfig (YAML) with everything inside it."""
        return yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [
                    {
                        "name": "lab",
                        "cluster": {"server": server, "certificate-authority-data": _b64(self.certificate_pem)},
                    }
                ],
                "users": [
                    {
                        "name": user,
                        "user": {
                            "client-certificate-data": _b64(pair.certificate),
                            "client-key-data": _b64(pair.key),
                        },
                    }
                ],
                "contexts": [{"name": f"{user}@lab", "context": {"cluster": "lab", "user": user}}],
                "current-context": f"{user}@lab",
            },
            sort_keys=False,
        )


def signing_key() -> bytes:
    """A fresh key (PEM) for service account tokens."""
    return _private_pem(ec.generate_private_key(ec.SECP256R1()))


def _private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()
