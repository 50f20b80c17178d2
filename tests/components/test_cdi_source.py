"""CdiSource's provider on a node that is a fake at the transport: what makes the generator run again."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pulumi.dynamic import CreateResult, ReadResult, UpdateResult

from components.access import Access
from components.cdi_source import BINARIES, CdiSourceProvider
from components.drift import MOST_LINES, Cause
from talos_gpu.cdi.strategy import HOOK_REAL
from tests.cdi.served import SOURCE, node_of, served
from tests.talos.asking import AUTHORITY
from tests.talos.fake_talos import ADDRESS, Node
from tests.talos.pki import talosconfig

LIBRARIES = "/usr/local/glibc/usr/lib/"
GPUS = "/proc/driver/nvidia/gpus"
OTHER = "GPU-aaaaaaaa-5e6f-7a8b-9c0d-1e2f3a4b5c6d"


@pytest.fixture
def node(fixtures: Path) -> Node:
    node = node_of((fixtures / "cdi/p2000-535/toolkit-1.17.8.yaml").read_text())
    node.files[f"{BINARIES}/{HOOK_REAL}"] = b""
    return node


@pytest.fixture
def provider(
    node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[CdiSourceProvider, dict[str, Any]]]:
    """The provider and the inputs of the node's CdiSource."""
    # a provider's run sets it for its process; the SDK's own look at the stack fails with it
    monkeypatch.setattr(sys, "tracebacklimit", 0, raising=False)
    (tmp_path / "talosconfig").write_text(talosconfig(AUTHORITY, AUTHORITY.client("os:admin")))
    made = CdiSourceProvider()
    made._access = Access(str(tmp_path / "talosconfig"), "", "")
    with served(AUTHORITY, node) as [port]:
        endpoint = f"{ADDRESS}:{port}"
        yield made, {"node": "one", "address": ADDRESS, "endpoint": endpoint, "release": "v1.11.1", "hook": "auto"}


def outs(result: CreateResult | ReadResult | UpdateResult) -> dict[str, Any]:
    assert result.outs is not None
    return result.outs


def gone(*paths: str) -> Callable[[Node], None]:
    def go(node: Node) -> None:
        for path in paths:
            del node.files[path]

    return go


def another_gpu(node: Node) -> None:
    node.files[f"{GPUS}/0000:02:00.0/information"] = f"GPU UUID: \t {OTHER}\n".encode()


def another_in_its_place(node: Node) -> None:
    node.files[f"{GPUS}/0000:01:00.0/information"] = f"GPU UUID: \t {OTHER}\n".encode()


MOVED: dict[str, tuple[Callable[[Node], None], str]] = {
    "a device node": (
        gone("/dev/dri/card0"),
        "the spec wants /dev/dri/card0; the host does not have it",
    ),
    "a library": (
        gone(f"{LIBRARIES}libcuda.so.535.247.01"),
        f"the spec wants {LIBRARIES}libcuda.so.535.247.01; the host does not have it",
    ),
    "a GPU that came": (another_gpu, f"the host has {OTHER}; the spec gives GPU-3b1f2c4d-5e6f-7a8b-9c0d-1e2f3a4b5c6d"),
    "a GPU that went": (
        another_in_its_place,
        f"the spec gives GPU-3b1f2c4d-5e6f-7a8b-9c0d-1e2f3a4b5c6d; the host has {OTHER}",
    ),
}


@pytest.mark.parametrize("case", MOVED)
def test_what_generating_anew_mends_is_seen_and_generated_for(
    node: Node, provider: tuple[CdiSourceProvider, dict[str, Any]], case: str
) -> None:
    source, inputs = provider
    made = outs(source.create(inputs))
    assert (made["fresh"], outs(source.read("id", made))["drift"]) == (True, {})
    assert outs(source.update("id", made, inputs))["token"] == made["token"]
    move, words = MOVED[case]
    move(node)
    seen = outs(source.read("id", made))
    assert f"{SOURCE}: {words}" in seen["drift"][Cause.UNFIT]
    mended = outs(source.update("id", seen, inputs))
    assert (mended["fresh"], mended["token"] != made["token"]) == (False, True)


def test_many_things_that_are_gone_are_cut_and_counted(
    node: Node, provider: tuple[CdiSourceProvider, dict[str, Any]]
) -> None:
    source, inputs = provider
    made = outs(source.create(inputs))
    gone(*[path for path in node.files if path.startswith((LIBRARIES, "/dev/"))])(node)
    [lines] = outs(source.read("id", made))["drift"].values()
    assert len(lines) == MOST_LINES + 1
    assert lines[-1].endswith("more: talos-gpu cdi validate --from-node")


@pytest.mark.parametrize(
    "paths",
    [
        (f"{BINARIES}/nvidia-cdi-hook", f"{BINARIES}/{HOOK_REAL}"),
        ("/proc/driver/nvidia/version", "/dev/nvidia0", "/dev/nvidia-uvm"),
    ],
    ids=["the hook binaries", "the driver, and with it the device nodes"],
)
def test_what_generating_anew_would_not_mend_makes_no_drift(
    node: Node, provider: tuple[CdiSourceProvider, dict[str, Any]], paths: tuple[str, ...]
) -> None:
    source, inputs = provider
    made = outs(source.create(inputs))
    gone(*paths)(node)
    assert outs(source.read("id", made))["drift"] == {}


def test_a_gpu_that_is_not_initialised_yet_is_no_gpu_that_went(
    node: Node, provider: tuple[CdiSourceProvider, dict[str, Any]]
) -> None:
    source, inputs = provider
    made = outs(source.create(inputs))
    another_gpu(node)
    node.files[f"{GPUS}/0000:01:00.0/information"] = b"GPU UUID: \t GPU-????????-????-????-????-????????????\n"
    assert outs(source.read("id", made))["drift"] == {}
