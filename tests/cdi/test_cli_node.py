"""`talos-gpu cdi --from-node STACK`, against a Talos API with files and folders."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
import yaml
from grpclib.const import Status
from grpclib.exceptions import GRPCError
from grpclib.server import Server, Stream
from typing_extensions import override

from talos_gpu.cdi import facts
from talos_gpu.talos.facts import EXTENSIONS, SBOM_ITEMS
from talos_gpu.talos.proto import machine_pb2
from tests.cdi.command import HEAD, Done, Run
from tests.talos.fake_talos import ADDRESS, FakeTalos, Node, server_context
from tests.talos.pki import Authority, talosconfig

SOURCE, INSTALLED = "/var/cdi/nvidia.yaml", "/var/run/cdi/nvidia.yaml"
UUID = "GPU-3b1f2c4d-5e6f-7a8b-9c0d-1e2f3a4b5c6d"


class FileSystem(FakeTalos):
    """Lists the folders of the node's files."""

    @override
    async def _list(self, stream: Stream[Any, Any]) -> None:
        request = await stream.recv_message()
        assert request is not None
        inside = [PurePosixPath(path).relative_to(request.root) for path in self.node.files if self._in(path, request)]
        if not inside:
            raise GRPCError(Status.NOT_FOUND, f"lstat {request.root}: no such file or directory")
        for name, deeper in {path.parts[0]: len(path.parts) > 1 for path in inside}.items():
            await stream.send_message(machine_pb2.FileInfo(name=name, relative_name=name, is_dir=deeper))

    def _in(self, path: str, request: Any) -> bool:
        return PurePosixPath(path).is_relative_to(request.root)


@pytest.fixture
def node(real_spec: str) -> Node:
    """The seed's node, as its generated spec has it."""
    needed = facts(real_spec)
    files = dict.fromkeys((*needed.host_paths, *needed.executables), b"")
    return Node(
        files={
            **files,
            SOURCE: real_spec.encode(),
            "/proc/driver/nvidia/version": b"NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.247.01  Mon\n",
            "/proc/driver/nvidia/gpus/0000:01:00.0/information": f"Model: P2000\nGPU UUID: \t {UUID}\n".encode(),
            "/proc/devices": b"Character devices:\n195 nvidia\n511 nvidia-uvm\n",
        },
        resources={
            (EXTENSIONS, "1"): {"metadata": {"name": "nvidia-container-toolkit-lts", "version": "535.247.01-v1.17.8"}},
            (SBOM_ITEMS, "containerd"): {"version": "v2.1.4"},
        },
    )


@pytest.fixture
def stack(node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project folder with Pulumi.one.yaml, whose node is served."""
    authority = Authority()
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def start() -> tuple[Server, int]:
        server = Server([FileSystem(node)])
        await server.start(ADDRESS, 0, ssl=server_context(authority, authority.server(ADDRESS)))
        assert isinstance(server._server, asyncio.Server)
        return server, server._server.sockets[0].getsockname()[1]

    async def stop(server: Server) -> None:
        server.close()
        await server.wait_closed()

    server, port = asyncio.run_coroutine_threadsafe(start(), loop).result()
    config = tmp_path / "talosconfig"
    config.write_text(talosconfig(authority, authority.client("os:admin")))
    monkeypatch.setenv("TALOSCONFIG", str(config))
    settings = {
        "node": {
            "name": "one",
            "address": ADDRESS,
            "endpoint": f"{ADDRESS}:{port}",
            "talos": "v1.11.1",
            "gpu": {"model": "Quadro P2000", "driver": "535.247.01", "memory_mib": 5120},
        },
        "machine": {"base": "worker.yaml"},
        "cdi": {"method": "jit"},
    }
    prefixed = {f"talos-nvidia-cdi:{key}": value for key, value in settings.items()}
    (tmp_path / "Pulumi.one.yaml").write_text(yaml.safe_dump({"config": prefixed}))
    yield tmp_path
    asyncio.run_coroutine_threadsafe(stop(server), loop).result()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def test_a_fresh_spec_of_a_node(run: Run, stack: Path) -> None:
    assert run("validate", "--from-node", "one", "--project", stack) == Done(0, f"one:{SOURCE}: ok\n", "")


def test_what_moved_on_the_node_is_found(run: Run, stack: Path, node: Node) -> None:
    node.files["/proc/driver/nvidia/version"] = node.files["/proc/driver/nvidia/version"].replace(b"247.01", b"261.03")
    del node.files["/dev/nvidia-uvm"]
    done = run("validate", "--from-node", "one", "--project", stack, "--json")
    assert done.code == 1
    [found] = done.json["specs"]
    assert found["accepted"]
    assert [(finding["check"], finding["breaks"]) for finding in found["stale"]] == [
        ("driver-version", True),
        ("device-node-missing", True),
    ]


def test_the_nodes_containerd_decides_the_library(run: Run, stack: Path, node: Node) -> None:
    node.files[SOURCE] = node.files[SOURCE].replace(b"cdiVersion: 0.5.0", b"cdiVersion: 1.1.0")
    assert run("validate", "--from-node", "one", "--project", stack).code == 1
    node.resources[SBOM_ITEMS, "containerd"] = {"version": "v2.2.1"}
    assert run("validate", "--from-node", "one", "--project", stack).code == 0


def test_patch_diff_and_show_read_the_node(run: Run, stack: Path, tmp_path: Path, real_spec: str) -> None:
    local = tmp_path / "local.yaml"
    local.write_text(real_spec)
    from_node = ("--from-node", "one", "--project", stack)
    assert run("patch", *from_node).out.count("nvidia-cdi-hook.real\n") == 10
    assert run("diff", local, *from_node) == Done(0, "", "")
    assert run("show", *from_node).out == run("show", local).out
    missing = run("show", *from_node, "--path", INSTALLED)
    assert missing == Done(
        2,
        "",
        f"talos-gpu: {INSTALLED} on the node of one: there is no such file\n"
        "  remedy: name another with --path, or make it: pulumi up\n",
    )


def test_resolve_on_the_node(run: Run, stack: Path, node: Node) -> None:
    node.files |= {
        "/etc/cdi/own.yaml": HEAD.encode(),
        "/etc/cdi/old.yml": HEAD.encode(),
        INSTALLED: HEAD.encode(),
        "/var/run/cdi/deeper/x.yaml": HEAD.encode(),
    }
    assert run("resolve", "--from-node", "one", "--project", stack) == Done(
        1,
        "ignored /etc/cdi/old.yml: CDI reads only names that end in .yaml or .json, this one ends in .yml; rename it "
        "to end in .yaml\n"
        f"nvidia.com/gpu=all from {INSTALLED} (shadows /etc/cdi/own.yaml)\n",
        "",
    )


def test_a_stack_that_is_not_there(run: Run, tmp_path: Path) -> None:
    done = run("show", "--from-node", "two", "--project", tmp_path)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f"talos-gpu: there is no stack file {tmp_path}/Pulumi.two.yaml\n")
