"""TLS for the machine API: TLS 1.2 or later, both sides with certificates of the cluster's own authority."""

from __future__ import annotations

import ssl
import tempfile

from talos_gpu.talos.credentials import Credentials


def client_context(credentials: Credentials) -> ssl.SSLContext:
    """Return a context that trusts the cluster's authority alone and shows the client's certificate.

    The server's certificate must carry the name or IP address that is dialled.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["h2"])
    context.load_verify_locations(cadata=credentials.ca.decode("ascii"))
    # ssl takes a certificate chain from a file only: one of mode 0600 that is gone when this returns.
    with tempfile.NamedTemporaryFile(prefix="talos-gpu-") as pem:
        pem.write(credentials.crt.rstrip() + b"\n" + credentials.key)
        pem.flush()
        context.load_cert_chain(pem.name)
    return context
