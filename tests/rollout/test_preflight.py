"""What is looked at before a plan: settings, release, credentials, reachability, images; every fault is told."""

from __future__ import annotations

import asyncio
import base64
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar

import pytest
import yaml
from typing_extensions import override

from talos_gpu.images.reference import Reference
from talos_gpu.rollout.gates import NO_WORKER, built_in
from talos_gpu.rollout.images import require_images
from talos_gpu.rollout.inspect_stack import InspectStack
from talos_gpu.rollout.model import CHECKS, Gate
from talos_gpu.rollout.preflight import preflight
from talos_gpu.rollout.pulumi_cli import Pulumi
from talos_gpu.settings import parse
from tests.kube.fake_api import NODE, Api
from tests.kube.fake_api import serving as kube_serving
from tests.kube.test_kubeconfig import data as kubeconfig_data
from tests.kube.test_kubeconfig import written as kubeconfig_written
from tests.talos.fake_talos import Node
from tests.talos.fake_talos import serving as talos_serving
from tests.talos.pki import Authority, elsewhere, talosconfig

T = TypeVar("T")
GPU = {"model": "Quadro P2000", "driver": "535.247.01", "memory_mib": 5120}


@dataclass
class Registry:
    """A registry of the distribution API at the transport, which asks for an anonymous token."""

    port: int
    asked: list[str] = field(default_factory=list)


@contextmanager
def registry(manifests: set[str], *, token: str = "") -> Iterator[Registry]:
    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            made.asked.append(self.path)
            if token and self.headers.get("Authorization") != f"Bearer {token}":
                self.send_response(401)
                realm = f"http://127.0.0.1:{made.port}/token"
                self.send_header("WWW-Authenticate", f'Bearer realm="{realm}",service="here",scope="pull"')
            else:
                self.send_response(200 if self.path in manifests else 404)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def do_GET(self) -> None:
            made.asked.append(self.path)
            body = f'{{"token": "{token}"}}'.encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        @override
        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made = Registry(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def in_thread(serving: Callable[[], AbstractAsyncContextManager[T]]) -> Iterator[T]:
    """Serve in a loop of its own; yields what the server yields."""
    ready, loop = threading.Event(), asyncio.new_event_loop()
    found: list[T] = []
    stop: list[Callable[[], None]] = []

    async def serve() -> None:
        ended = asyncio.Event()
        stop.append(ended.set)
        try:
            async with serving() as what:
                found.append(what)
                ready.set()
                await ended.wait()
        finally:
            ready.set()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    assert ready.wait(60)
    try:
        yield found[0]
    finally:
        loop.call_soon_threadsafe(stop[0])
        thread.join()
        loop.close()


def cluster(api: Api, folder: Path) -> AbstractContextManager[Path]:
    """The fake API server; yields its kubeconfig."""
    return in_thread(lambda: kube_serving(api, folder))


def settings_of(image: str, kubeconfig: Path | str) -> dict[str, Any]:
    return {
        "node": {"name": "lab-1", "address": "127.0.0.1", "talos": "v1.11.1", "gpu": GPU},
        "machine": {"base": "worker.yaml"},
        "cdi": {"image": image},
        "kubeconfig": str(kubeconfig),
    }


def stack_file(folder: Path, document: dict[str, Any]) -> Path:
    path = folder / "Pulumi.a.yaml"
    path.write_text(yaml.safe_dump({"config": {f"talos-nvidia-cdi:{key}": value for key, value in document.items()}}))
    return path


@pytest.mark.parametrize(
    ("image", "name"),
    [
        ("debian", "docker.io/library/debian:latest"),
        ("a/b:1", "docker.io/a/b:1"),
        ("localhost:5000/a", "localhost:5000/a:latest"),
        (f"a/b:1@sha256:{'0' * 64}", f"docker.io/a/b@sha256:{'0' * 64}"),
    ],
)
def test_names_in_full_as_a_node_lists_them(image: str, name: str) -> None:
    assert Reference.of(image).full == name


def test_an_image_on_the_node_needs_no_registry(tmp_path: Path) -> None:
    node = {**NODE, "status": {**NODE["status"], "images": [{"names": ["lab.local/node-tools:1"]}]}}
    with cluster(Api({"/api/v1/nodes/lab-1": node}), tmp_path) as kubeconfig:
        require_images(parse(settings_of("lab.local/node-tools:1", kubeconfig)))


@pytest.mark.parametrize("token", ["", "anonymous"])
def test_an_image_in_its_registry(tmp_path: Path, token: str) -> None:
    with cluster(Api({"/api/v1/nodes/lab-1": NODE}), tmp_path) as kubeconfig:
        with registry({"/v2/tools/manifests/1"}, token=token) as found:
            require_images(parse(settings_of(f"127.0.0.1:{found.port}/tools:1", kubeconfig)))
        assert ("/token?scope=pull&service=here" in found.asked) == bool(token)


def test_an_image_that_is_nowhere(tmp_path: Path) -> None:
    with cluster(Api({"/api/v1/nodes/lab-1": NODE}), tmp_path) as kubeconfig, registry(set()) as found:
        image = f"127.0.0.1:{found.port}/tools:1"
        with pytest.raises(Exception, match=f"^{image}: the registry 127.0.0.1:{found.port} has no such name or tag\n"):
            require_images(parse(settings_of(image, kubeconfig)))


def test_every_check_tells_its_own_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TALOSCONFIG", str(tmp_path / "talosconfig"))
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # and not listening: nobody else takes it
        port = closed.getsockname()[1]
        document = settings_of(f"127.0.0.1:{port}/tools:1", tmp_path / "kubeconfig")
        document["node"] |= {"endpoint": f"127.0.0.1:{port}"}
        settings, faults = preflight(stack_file(tmp_path, document), CHECKS)
    assert settings is not None
    assert [fault.partition(":")[0] for fault in faults] == ["release", "credentials", "reachable", "image"]
    assert str(tmp_path / "talosconfig") in faults[0]
    assert str(tmp_path / "talosconfig") in faults[1]
    assert faults[2] == f"reachable: no connection to 127.0.0.1 port {port}: Connection refused"
    assert f"the registry 127.0.0.1:{port} cannot be reached" in faults[3]
    assert "whether the node has it is not known" in faults[3]


@pytest.mark.parametrize(("told", "fits"), [("v1.11.6", True), ("v1.10.2", False)])
def test_the_node_is_asked_for_its_release(tmp_path: Path, told: str, fits: bool) -> None:
    authority = Authority()
    (tmp_path / "talosconfig").write_text(talosconfig(authority, authority.client("os:reader")))
    with in_thread(lambda: talos_serving(Node(), authority)) as port:
        document = settings_of("a/b:1", "")
        document |= {"talosconfig": str(tmp_path / "talosconfig")}
        document["node"] |= {"endpoint": f"127.0.0.1:{port}", "talos": told}
        _, faults = preflight(stack_file(tmp_path, document), ["release"])
    fault = f"release: the node runs v1.11.1, node.talos says {told}; upgrade the node first, or set node.talos"
    assert faults == ([] if fits else [fault])


@pytest.mark.parametrize(("end", "expired"), [(timedelta(days=1), False), (timedelta(minutes=-1), True)])
def test_a_kubeconfig_whose_certificate_has_expired_is_a_fault(tmp_path: Path, end: timedelta, expired: bool) -> None:
    authority = Authority()
    (tmp_path / "talosconfig").write_text(talosconfig(authority, authority.client("os:reader")))
    pair = authority.client("admin", end=end)
    user = {**kubeconfig_data(pair.crt), "client-key-data": base64.b64encode(pair.key).decode()}
    kubeconfig = kubeconfig_written(tmp_path / "kubeconfig", current="a", users={"a": user})
    document = settings_of("a/b:1", kubeconfig) | {"talosconfig": str(tmp_path / "talosconfig")}
    _, faults = preflight(stack_file(tmp_path, document), ["credentials"])
    said = f"credentials: kubeconfig {kubeconfig}: the client certificate expired on "
    assert [fault.startswith(said) for fault in faults] == [True] * expired, faults


def test_the_named_context_of_the_talosconfig_is_used(tmp_path: Path) -> None:
    authority = Authority()
    whole = talosconfig(authority, authority.client("os:reader"))
    (tmp_path / "talosconfig").write_text(elsewhere(whole))
    with in_thread(lambda: talos_serving(Node(), authority)) as port, cluster(Api({}), tmp_path) as kubeconfig:
        document = settings_of("a/b:1", kubeconfig)
        document |= {"talosconfig": str(tmp_path / "talosconfig"), "talos_context": "lab"}
        document["node"] |= {"endpoint": f"127.0.0.1:{port}"}
        _, faults = preflight(stack_file(tmp_path, document), ["release", "credentials"])
    assert faults == []


def test_without_checks_a_stack_of_another_program_has_no_fault(tmp_path: Path) -> None:
    path = tmp_path / "Pulumi.a.yaml"
    path.write_text("config:\n  trial:size: 1\n")
    assert preflight(path, ()) == (None, [])
    settings, faults = preflight(path, CHECKS)
    assert settings is None
    assert ["node: is missing" in fault and "machine: is missing" in fault for fault in faults] == [True]


@pytest.mark.parametrize(
    ("gates", "faults"),
    [
        (built_in(), [f"gate encode: {NO_WORKER.cause}; {NO_WORKER.remedy}"]),
        ((Gate(name="encode", command=("true",)), Gate(name="services")), []),
    ],
)
def test_a_stack_without_a_worker_is_told_before_its_update_that_it_cannot_encode(
    tmp_path: Path, gates: tuple[Gate, ...], faults: list[str]
) -> None:
    (tmp_path / "pulumi").write_text("#!/bin/sh\necho {}\n")
    (tmp_path / "pulumi").chmod(0o755)
    stack_file(tmp_path, settings_of("a/b:1", "kubeconfig"))
    pulumi = Pulumi(tmp_path, tmp_path, str(tmp_path / "pulumi"), {})
    found = InspectStack(pulumi, tmp_path, ["settings"], refresh=False, gates=gates)("a", "default")
    assert list(found.faults) == faults
