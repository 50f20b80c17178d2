"""Test 9: credentials rotated between two ups show no diff, work, and are nowhere in state, diff, log or event."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_der_private_key
from cryptography.x509.oid import NameOID

from lab import kubectl
from lab.cluster.pki import Authority, write_private
from lab.lab import Lab
from tests.lab.conftest import MainJob

pytestmark = pytest.mark.lab


def rotate_talosconfig(lab: Lab) -> None:
    """The same context with another administrator's certificate."""
    write_private(lab.paths.talosconfig, talosconfig_valid(lab, timedelta(days=1)))


def talosconfig_valid(lab: Lab, how_long: timedelta) -> str:
    """The lab's talosconfig with a new administrator's certificate."""
    os_ca = yaml.safe_load((lab.paths.talos / "secrets.yaml").read_text())["certs"]["os"]
    authority = x509.load_pem_x509_certificate(base64.b64decode(os_ca["crt"]))
    der = re.sub(rb"-----[A-Z0-9 ]+-----|\s", b"", base64.b64decode(os_ca["key"]))
    signer = load_der_private_key(base64.b64decode(der), password=None)
    assert isinstance(signer, Ed25519PrivateKey)
    key, now = Ed25519PrivateKey.generate(), datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "os:admin")]))
        .issuer_name(authority.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + how_long)
        .sign(signer, None)
    )
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    config = yaml.safe_load(lab.paths.talosconfig.read_text())
    context = config["contexts"][config["context"]]
    context["crt"] = base64.b64encode(certificate.public_bytes(Encoding.PEM)).decode()
    context["key"] = base64.b64encode(pem.replace(b"PRIVATE KEY", b"ED25519 PRIVATE KEY")).decode()
    text: str = yaml.safe_dump(config)
    return text


def rotate_kubeconfig(lab: Lab) -> None:
    """Another administrator's certificate for the same cluster."""
    talos = lab.paths.talos
    authority = Authority(talos / "k8s-ca.crt", talos / "k8s-ca.key")
    fresh = authority.kubeconfig(lab.cluster.url, "admin", authority.issue("rotated", "system:masters"))
    write_private(lab.paths.kubeconfig, fresh)


def canaries(lab: Lab) -> Iterator[str]:
    """What must be seen nowhere: keys and certificates as they lie in the files and inside their base64."""
    for path in (lab.paths.talosconfig, lab.paths.kubeconfig, lab.paths.talos / f"{lab.node().name}.yaml"):
        for encoded in re.findall(r"(?:key|crt|token|secret|-data): (\S{20,})", path.read_text()):
            yield encoded[-60:]
            for line in _decoded(encoded).splitlines():
                if len(line) > 20 and not line.startswith("-----"):
                    yield line
    yield (lab.paths.root / "passphrase").read_text().strip()


def _decoded(encoded: str) -> str:
    try:
        return base64.b64decode(encoded, validate=True).decode()
    except ValueError:
        return ""


def test_rotated_credentials_show_no_diff_work_and_are_nowhere_in_clear(job: MainJob, tmp_path: Path) -> None:
    secret = set(canaries(job.lab))
    rotate_talosconfig(job.lab)
    rotate_kubeconfig(job.lab)
    fresh = set(canaries(job.lab)) - secret
    assert len(fresh) > 4, "nothing was rotated"
    assert kubectl.kubectl(job.lab, "auth", "whoami").count("rotated") == 1

    assert job.quiet()
    log = tmp_path / "events.jsonl"
    with job.configured(tdarr={"ffmpeg_version": "7"}):
        changed = job.stack.operation("up", "--refresh", "--diff", "--skip-preview", "--event-log", str(log))
    assert "~ 2 updated" in changed.stdout, changed.stdout  # the worker, and what waits for it
    back = job.stack.operation("up", "--refresh", "--diff", "--skip-preview", "-v=3", "--logtostderr")
    job.settle()
    job.encode()

    places = {
        "output": changed.stdout + changed.stderr + back.stdout,
        "verbose log": back.stderr,
        "events": log.read_text(),
        "exported": json.dumps(job.stack.exported()),
        "outputs": json.dumps(job.stack.outputs()),
        "configuration": job.stack.config.read_text(),
    }
    for path in job.lab.paths.pulumi_state.rglob("*"):
        if path.is_file():
            places[f"state/{path.name}"] = path.read_text(errors="replace")
    assert any(name.startswith("state/") for name in places)
    assert len(places["verbose log"]) > 1000, "the log is not verbose"  # beyond 3 the engine logs whole calls: README
    shown = [(place, canary[:6]) for place, text in places.items() for canary in secret | fresh if canary in text]
    assert shown == []
