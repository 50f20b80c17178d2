"""The seed's two failures, word for word, and the cure, on the real containerd of a node without a cluster."""

from __future__ import annotations

import itertools
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.lab import Lab
from lab.nodes import Node
from talos_gpu.cdi import Strategy, patch

pytestmark = pytest.mark.containerd

SOURCE = "/var/cdi/nvidia.yaml"
INSTALLED = "/run/cdi/nvidia.yaml"
IMAGE = "lab.local/node-tools:1"
LOOK = (
    "ls /dev/nvidia0 /dev/nvidiactl /dev/nvidia-uvm /usr/local/glibc/usr/lib; "
    "echo env=$NVIDIA_VISIBLE_DEVICES; nvidia-smi -L"
)
NATIVE = ("--device", "nvidia.com/gpu=all")
"""Containerd's own CDI."""
RUNTIME = ("--runc-binary", "/usr/local/bin/nvidia-container-runtime.cdi", "--env", "NVIDIA_VISIBLE_DEVICES=all")
"""NVIDIA's runtime in CDI mode, what the RuntimeClass nvidia-cdi leads to."""
_numbers = itertools.count()


def host_path(node: Node, path: str) -> Path:
    """A path of the node's own view, seen from the host."""
    return Path(f"/proc/{node.pid}/root{path}")


@pytest.fixture
def node(containerd_lab: Lab) -> Iterator[Node]:
    """The node with its modules loaded and no CDI spec anywhere."""
    found = containerd_lab.node()
    specs = [host_path(found, SOURCE), host_path(found, INSTALLED)]
    for path in specs:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
    yield found
    for path in specs:
        path.unlink(missing_ok=True)


def run_container(node: Node, how: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
    name = f"seed-{next(_numbers)}"
    command = ["/bin/ctr", "-n", "k8s.io", "run", "--rm", *how, IMAGE, name, "sh", "-c", LOOK]
    return node.run(*command, check=False)


def generate(node: Node, *flags: str) -> str:
    node.run("/usr/local/bin/nvidia-ctk", "cdi", "generate", f"--output={SOURCE}", *flags)
    return host_path(node, SOURCE).read_text()


def install(node: Node, text: str) -> None:
    target = host_path(node, INSTALLED)
    fresh = target.with_suffix(".tmp")
    fresh.write_text(text)
    fresh.rename(target)


@pytest.mark.parametrize("how", [NATIVE, RUNTIME], ids=["containerd", "nvidia-runtime"])
def test_without_a_spec_the_device_is_unresolvable(node: Node, how: tuple[str, ...]) -> None:
    done = run_container(node, how)
    assert done.returncode != 0
    assert "unresolvable CDI devices nvidia.com/gpu=all" in done.stderr


@pytest.mark.parametrize("how", [NATIVE, RUNTIME], ids=["containerd", "nvidia-runtime"])
def test_an_unpatched_spec_dies_in_the_wrapper(node: Node, how: tuple[str, ...]) -> None:
    install(node, generate(node))
    done = run_container(node, how)
    assert done.returncode != 0
    assert "nvidia-container-runtime-wrapper: unknown command nvidia-cdi-hook" in done.stderr


@pytest.mark.parametrize("how", [NATIVE, RUNTIME], ids=["containerd", "nvidia-runtime"])
def test_the_patched_spec_gives_the_container_its_gpu(node: Node, how: tuple[str, ...]) -> None:
    patched = patch(generate(node), Strategy.REAL)
    assert patched.replaced > 0
    install(node, patched.text)
    done = run_container(node, how)
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    assert {"/dev/nvidia0", "/dev/nvidiactl", "/dev/nvidia-uvm"} <= set(said)
    assert "libcuda.so.1" in said, "the update-ldcache hook made no links"
    assert "env=void" in said, "the spec's env is not there"
    assert "GPU 0: Quadro P2000 (UUID: GPU-3b1f2c4d-5e6f-7a8b-9c0d-1e2f3a4b5c6d)" in said


@pytest.mark.parametrize("how", [NATIVE, RUNTIME], ids=["containerd", "nvidia-runtime"])
def test_hooks_by_nvidia_ctk_need_no_patch(node: Node, how: tuple[str, ...]) -> None:
    text = generate(node, "--nvidia-cdi-hook-path=/usr/local/bin/nvidia-ctk")
    assert patch(text, Strategy.NVIDIA_CTK).text == text
    install(node, text)
    done = run_container(node, how)
    assert done.returncode == 0, done.stderr
    assert "GPU 0: Quadro P2000" in done.stdout


def test_the_host_has_no_shell(node: Node) -> None:
    done = node.run("sh", "-c", "echo hi", check=False)
    assert "No such file or directory" in done.stderr
