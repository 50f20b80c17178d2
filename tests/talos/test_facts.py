"""A node's facts, by role; and what its effective state lacks."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from talos_gpu.talos import parse
from talos_gpu.talos.client import MachineClient
from talos_gpu.talos.credentials import TalosConfig
from talos_gpu.talos.effective import effective_differences
from talos_gpu.talos.errors import Unreachable
from talos_gpu.talos.facts import (
    EXTENSIONS,
    KERNEL_PARAMS,
    LOADED_MODULES,
    SBOM_ITEMS,
    UDEV_RULES,
    NodeFacts,
    read_facts,
    spec_source,
)
from talos_gpu.talos.machine_config import UDEV_RULES as RULES
from talos_gpu.talos.machine_config import wanted
from talos_gpu.talos.part import PART_PATH, part_toml
from talos_gpu.talos.readiness import Expected, unmet
from talos_gpu.talos.releases import Method, strategy_for
from tests.talos.fake_talos import ADDRESS, Node, serving
from tests.talos.pki import Authority, talosconfig

AUTHORITY = Authority()
R111 = strategy_for("v1.11.1")

NVIDIA_CLOSED = """\
NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.247.01  Mon Mar 24 18:53:31 UTC 2025
GCC version:  gcc version 14.2.0 (GCC)
"""
NVIDIA_OPEN = """\
NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.126.09  Release Build  (dvs-builder@U22-I3)
GCC version:  gcc version 14.2.0 (GCC)
"""
PROC_VERSION = (
    "Linux version 6.12.45-talos (@buildkitsandbox) (gcc (GCC) 14.2.0, GNU ld (GNU Binutils) 2.44) "
    "#1 SMP Thu Sep  4 12:00:00 UTC 2025\n"
)
DEVICES = """\
Character devices:
  1 mem
195 nvidia
195 nvidia-modeset
195 nvidiactl
226 drm
511 nvidia-uvm

Block devices:
  7 loop
259 blkext
"""
BOOT = "0d1f3b52-5d1c-4f6e-9a55-0d2f7c1f7a11"


def extension(name: str, version: str) -> Mapping[str, Any]:
    return {"image": f"{name}.sqsh", "metadata": {"name": name, "version": version}}


def gpu_node() -> Node:
    resources: dict[tuple[str, str], Mapping[str, Any] | str] = {
        (EXTENSIONS, "0"): extension("nonfree-kmod-nvidia-lts", "535.247.01-v1.11.1"),
        (EXTENSIONS, "1"): extension("nvidia-container-toolkit-lts", "535.247.01-v1.17.8"),
        (EXTENSIONS, "2"): extension("modules.dep", "6.12.45-talos"),
        (KERNEL_PARAMS, "proc.sys.net.core.bpf_jit_harden"): {"current": "2", "default": "0", "unsupported": False},
        (KERNEL_PARAMS, "proc.sys.kernel.kptr_restrict"): {"current": "2", "default": "0", "unsupported": False},
        (SBOM_ITEMS, "containerd"): {"name": "containerd", "version": "v2.1.4"},
    }
    for name in ("nvidia", "nvidia_uvm", "nvidia_drm", "nvidia_modeset", "overlay"):
        resources[LOADED_MODULES, name] = {"state": "Live"}
    return Node(
        resources=resources,
        files={
            "/proc/sys/kernel/random/boot_id": f"{BOOT}\n".encode(),
            "/proc/version": PROC_VERSION.encode(),
            "/proc/driver/nvidia/version": NVIDIA_CLOSED.encode(),
            "/proc/devices": DEVICES.encode(),
            PART_PATH: part_toml(R111, default_runtime=False).encode(),
            UDEV_RULES: "".join(f"{rule}\n" for rule in RULES).encode(),
        },
    )


def facts_of(node: Node, role: str = "os:admin") -> NodeFacts:
    async def read() -> NodeFacts:
        who = TalosConfig.load(talosconfig(AUTHORITY, AUTHORITY.client(role)))
        async with serving(node, AUTHORITY) as port, MachineClient(who, ADDRESS, port=port) as client:
            return await read_facts(client)

    return asyncio.run(read())


def test_an_admin_reads_every_fact() -> None:
    assert facts_of(gpu_node()) == NodeFacts(
        talos="v1.11.1",
        boot_id=BOOT,
        kernel="6.12.45-talos",
        containerd="2.1.4",
        driver="535.247.01",
        toolkit="1.17.8",
        bpf_jit_harden=2,
        kptr_restrict=2,
        modules=frozenset({"nvidia", "nvidia_uvm", "nvidia_drm", "nvidia_modeset", "overlay"}),
        extensions={
            "nonfree-kmod-nvidia-lts": "535.247.01-v1.11.1",
            "nvidia-container-toolkit-lts": "535.247.01-v1.17.8",
            "modules.dep": "6.12.45-talos",
        },
        char_majors={"mem": 1, "nvidia": 195, "nvidia-modeset": 195, "nvidiactl": 195, "drm": 226, "nvidia-uvm": 511},
        part=part_toml(R111, default_runtime=False),
        udev_rules="".join(f"{rule}\n" for rule in RULES),
        unread={},
    )


def test_a_reader_knows_what_resources_tell_and_why_the_rest_is_missing() -> None:
    facts = facts_of(gpu_node(), "os:reader")
    assert (facts.talos, facts.kernel, facts.driver, facts.toolkit) == (
        "v1.11.1",
        "6.12.45-talos",
        "535.247.01",
        "1.17.8",
    )
    assert (facts.bpf_jit_harden, facts.containerd) == (2, "2.1.4")
    reason = "needs role os:admin, the certificate has os:reader"
    assert facts.unread == dict.fromkeys(("boot_id", "char_majors", "part", "udev_rules"), reason)


def test_a_node_without_a_gpu_is_no_error() -> None:
    facts = facts_of(
        Node(files={"/proc/sys/net/core/bpf_jit_harden": b"0\n", "/proc/devices": b"Character devices:\n"})
    )
    assert (facts.bpf_jit_harden, facts.part, facts.char_majors) == (0, "", {})
    assert facts.unread["driver"] == "stat /proc/driver/nvidia/version: no such file or directory"
    assert facts.unread["toolkit"] == "no extension nvidia-container-toolkit is installed"
    assert facts.unread["kptr_restrict"] == "stat /proc/sys/kernel/kptr_restrict: no such file or directory"


def test_a_driver_that_is_not_loaded_is_not_told_from_its_extension() -> None:
    node = gpu_node()
    del node.files["/proc/driver/nvidia/version"]
    assert facts_of(node).driver is None


PROC_MODULES = "".join(
    f"{name} 65536 0 - Live 0x0000000000000000 (PO)\n"
    for name in ("nvidia_uvm", "nvidia_drm", "nvidia_modeset", "nvidia")
)


def before_1_11(*, refused: bool) -> Node:
    """A node without the resource of loaded modules: its list is empty, or `refused`."""
    node = gpu_node()
    for key in [key for key in node.resources if key[0] == LOADED_MODULES]:
        del node.resources[key]
    node.unknown = frozenset((LOADED_MODULES,) if refused else ())
    node.files["/proc/modules"] = PROC_MODULES.encode()
    return node


@pytest.mark.parametrize("refused", [False, True], ids=["empty", "refused"])
def test_modules_are_read_from_the_file_where_the_release_has_no_resource(refused: bool) -> None:
    facts = facts_of(before_1_11(refused=refused))
    assert facts.modules == frozenset({"nvidia", "nvidia_uvm", "nvidia_drm", "nvidia_modeset"})
    assert unmet(facts, (), Expected(wanted(strategy_for("v1.10.4"), Method.JIT), None)) == ()


def test_a_reader_is_told_that_an_old_release_shows_modules_to_an_admin() -> None:
    facts = facts_of(before_1_11(refused=False), "os:reader")
    assert facts.modules is None
    assert facts.unread["modules"] == "needs role os:admin, the certificate has os:reader"


def test_facts_come_through_a_control_plane_that_forwards() -> None:
    node = gpu_node()
    node.forwards_to = "192.0.2.7"

    async def read() -> NodeFacts:
        who = TalosConfig.load(talosconfig(AUTHORITY, AUTHORITY.client("os:admin")))
        async with serving(node, AUTHORITY) as port, MachineClient(who, ADDRESS, "192.0.2.7", port) as client:
            return await read_facts(client)

    assert asyncio.run(read()) == facts_of(gpu_node())
    assert set(node.metadata) == {"192.0.2.7"}


def test_all_facts_are_asked_for_at_once() -> None:
    node = gpu_node()
    node.delay = 3.0
    facts_of(node)
    assert node.most_waiting == len(node.calls) > 1


def test_an_unreachable_node_is_an_error_of_its_own() -> None:
    with socket.socket() as free:
        free.bind((ADDRESS, 0))
        port = free.getsockname()[1]  # bound and not listening: nobody else takes it

        async def read() -> None:
            who = TalosConfig.load(talosconfig(AUTHORITY, AUTHORITY.client("os:admin")))
            async with MachineClient(who, ADDRESS, port=port) as client:
                await read_facts(client)

        with pytest.raises(Unreachable):
            asyncio.run(read())


def test_the_spec_source_is_text_or_not_there_yet() -> None:
    async def read(node: Node) -> str | None:
        who = TalosConfig.load(talosconfig(AUTHORITY, AUTHORITY.client("os:admin")))
        async with serving(node, AUTHORITY) as port, MachineClient(who, ADDRESS, port=port) as client:
            return await spec_source(client)

    assert asyncio.run(read(Node(files={"/var/cdi/nvidia.yaml": b"cdiVersion: 0.5.0\n"}))) == "cdiVersion: 0.5.0\n"
    assert asyncio.run(read(Node())) is None


def test_driver_versions_of_both_kinds_of_modules() -> None:
    assert parse.driver_version(NVIDIA_CLOSED) == "535.247.01"
    assert parse.driver_version(NVIDIA_OPEN) == "580.126.09"
    assert parse.driver_version("") is None


READY = NodeFacts(
    modules=frozenset({"nvidia", "nvidia_uvm", "nvidia_drm", "nvidia_modeset"}),
    bpf_jit_harden=2,
    part=part_toml(R111, default_runtime=False),
)
LABELS = {"node.kubernetes.io/gpu-vendor": "nvidia", "kubernetes.io/hostname": "talos05"}


def test_a_node_as_wanted_lacks_nothing() -> None:
    assert effective_differences(READY, LABELS, wanted(R111, Method.SPEC)) == []
    assert effective_differences(READY, None, wanted(R111, Method.SPEC)) == []


def test_everything_that_is_not_as_wanted_is_a_sentence() -> None:
    facts = replace(READY, modules=frozenset({"nvidia"}), part="")
    want = replace(wanted(R111, Method.SPEC), sysctls={"net.core.bpf_jit_harden": "1"})
    assert effective_differences(facts, {"kubernetes.io/hostname": "talos05"}, want) == [
        "kernel module nvidia_uvm is not loaded",
        "kernel module nvidia_drm is not loaded",
        "kernel module nvidia_modeset is not loaded",
        "sysctl net.core.bpf_jit_harden is 2, wanted 1",
        "/etc/cri/conf.d/20-customization.part is not there",
        "node label node.kubernetes.io/gpu-vendor is missing",
    ]


def test_a_udev_rule_that_is_gone_is_told_where_the_file_can_be_read() -> None:
    want = wanted(R111, Method.SPEC)
    [render, card] = RULES
    there = replace(READY, udev_rules=f"{card}\n")
    assert effective_differences(there, LABELS, want) == [f"{UDEV_RULES} lacks the rule {render}"]
    assert (
        effective_differences(replace(READY, udev_rules=f"{card}\n{render.replace(', ', ',')}\n"), LABELS, want) == []
    )
    assert effective_differences(there, LABELS, wanted(strategy_for("1.14"), Method.NATIVE)) == []


def test_a_part_edited_on_the_node_is_told_key_by_key() -> None:
    edited = (READY.part or "").replace('"/var/run/cdi"]', '"/var/run/cdi", "/var/cdi"]')
    assert effective_differences(replace(READY, part=edited), LABELS, wanted(R111, Method.SPEC)) == [
        (
            '/etc/cri/conf.d/20-customization.part: plugins."io.containerd.cri.v1.runtime".cdi_spec_dirs is '
            '["/etc/cdi", "/var/run/cdi", "/var/cdi"], wanted ["/etc/cdi", "/var/run/cdi"]'
        )
    ]


def test_what_could_not_be_read_counts_as_lacking() -> None:
    facts = NodeFacts(unread={"modules": "m", "part": "needs role os:admin, the certificate has os:reader"})
    assert effective_differences(facts, {"node.kubernetes.io/gpu-vendor": "amd"}, wanted(R111, Method.SPEC)) == [
        "the loaded kernel modules could not be read: m",
        "/etc/cri/conf.d/20-customization.part could not be read: needs role os:admin, the certificate has os:reader",
        "node label node.kubernetes.io/gpu-vendor is 'amd', wanted 'nvidia'",
    ]
