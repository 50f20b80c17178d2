"""A small registry on loopback: manifests by name and tag, tokens where it wants them."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from typing_extensions import override

INDEX = "application/vnd.oci.image.index.v1+json"
TOKEN = "token-of-the-test"


@dataclass
class Registry:
    """What it serves and how; tests change it while it runs."""

    manifests: dict[str, bytes] = field(default_factory=dict)
    """`name:tag` -> manifest."""
    tokens: bool = False
    claimed: str | None = None
    """The Docker-Content-Digest that it sends; None: the true one."""
    status: int = 200
    redirect: str = ""
    realm: str = ""
    """Of the challenge; "": this registry's own."""
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    port: int = 0

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def add(self, name: str, **more: Any) -> str:
        manifest = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": [], **more}).encode()
        self.manifests[name] = manifest
        return digest(manifest)


def digest(manifest: bytes) -> str:
    return f"sha256:{hashlib.sha256(manifest).hexdigest()}"


@contextmanager
def serve() -> Iterator[Registry]:
    registry = Registry()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            registry.asked.append((self.path, dict(self.headers)))
            url = urlsplit(self.path)
            if url.path == "/token":
                self._answer(200, json.dumps({"token": TOKEN, "asked": parse_qs(url.query)}).encode())
            elif registry.redirect and url.path.startswith("/v2/"):
                self._answer(307, b"", Location=registry.redirect)
            elif registry.tokens and self.headers["Authorization"] != f"Bearer {TOKEN}":
                realm = registry.realm or f"http://{registry.host}/token"
                self._answer(401, b"{}", **{"WWW-Authenticate": f'Bearer realm="{realm}",service="here"'})
            elif registry.status != 200:
                self._answer(registry.status, b"{}")
            else:
                self._manifest(url.path)

        def _manifest(self, path: str) -> None:
            name, _, tag = path.removeprefix("/v2/").partition("/manifests/")
            manifest = registry.manifests.get(f"{name}:{tag}")
            if manifest is None:
                self._answer(404, b"{}")
            else:
                claimed = registry.claimed or digest(manifest)
                self._answer(200, manifest, **{"Content-Type": INDEX, "Docker-Content-Digest": claimed})

        def _answer(self, status: int, body: bytes, **headers: str) -> None:
            self.send_response(status)
            for key, value in headers.items():
                self.send_header(key, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        @override
        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    registry.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield registry
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
