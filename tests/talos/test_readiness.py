"""Conditions of a node after an apply, and why one may not hold."""

from __future__ import annotations

from dataclasses import replace

import pytest

from talos_gpu.talos.facts import NodeFacts
from talos_gpu.talos.machine_config import MODULES, wanted
from talos_gpu.talos.messages import Service
from talos_gpu.talos.readiness import Expected, Unmet, likely_cause, unmet
from talos_gpu.talos.releases import Method
from tests.talos.configs import R111

EXTENSIONS = {"nonfree-kmod-nvidia-lts": "535.247.01-v1.11.1", "nvidia-container-toolkit-lts": "535.247.01-v1.17.8"}
READY = NodeFacts(talos="v1.11.1", boot_id="new", modules=frozenset(MODULES), extensions=EXTENSIONS)
EXPECTED = Expected(wanted(R111, Method.JIT), "old")
CONFIG = Unmet("config", "kernel module nvidia is not loaded")


def service(name: str, state: str, healthy: bool | None = None, message: str = "") -> Service:
    return Service(name, state, healthy, message)


def test_a_node_that_has_become_it_lacks_nothing() -> None:
    settled = [service("ext-nvidia-persistenced", "Running", True), service("ext-nvidia-cdi-gen", "Finished")]
    assert unmet(READY, settled, EXPECTED) == ()


@pytest.mark.parametrize("boot", ["old", None])
def test_the_old_boot_counts_for_nothing(boot: str | None) -> None:
    facts = replace(READY, boot_id=boot, modules=frozenset())
    assert unmet(facts, (), EXPECTED) == (Unmet("boot-id", f"still on boot {boot}"),)
    assert [one.name for one in unmet(facts, (), replace(EXPECTED, old_boot=None))] == ["config"]


def test_services_and_config_in_the_order_of_a_boot() -> None:
    waiting = [service("kubelet", "Waiting"), service("ext-nvidia-persistenced", "Waiting", None, "no device")]
    assert unmet(replace(READY, modules=frozenset()), waiting, EXPECTED) == (
        Unmet("services", "service ext-nvidia-persistenced is Waiting (no device)"),
        Unmet("config", "; ".join(f"kernel module {name} is not loaded" for name in MODULES)),
    )


@pytest.mark.parametrize(
    ("condition", "facts", "dmesg", "words"),
    [
        (Unmet("api", "no answer"), None, "", "the node has not come back"),
        (Unmet("boot-id", "still on boot x"), READY, "", "was not restarted"),
        (Unmet("node", "not Ready"), READY, "", "the kubelet does not run"),
        (
            CONFIG,
            replace(READY, extensions={"iscsi-tools": "v0.2.0"}),
            "",
            (
                "the schematic lacks the extension nonfree-kmod-nvidia or nvidia-open-gpu-kernel-modules "
                "(-lts or -production) and nvidia-container-toolkit (-lts or -production); installed are: iscsi-tools. "
                "For Talos 1.11 take siderolabs/nonfree-kmod-nvidia-lts and siderolabs/nvidia-container-toolkit-lts"
            ),
        ),
        (
            CONFIG,
            READY,
            (
                "NVRM: The NVIDIA Quadro P2000 GPU installed in this system is\n"
                "NVRM:  supported through the NVIDIA 580.xx Legacy drivers. Please\n"
            ),
            (
                "the driver branch is too new for this GPU: the kernel says that it needs 580.xx. Take "
                "siderolabs/nonfree-kmod-nvidia-lts and siderolabs/nvidia-container-toolkit-lts (driver 535.247.01)"
            ),
        ),
        (CONFIG, READY, "NVRM: installed in this system requires use of the NVIDIA open kernel modules.", "flavour"),
        (CONFIG, READY, "NVRM: No NVIDIA GPU found.", "no NVIDIA GPU on the bus"),
        (CONFIG, READY, "nothing of the driver", ""),
    ],
)
def test_the_likely_cause_is_named(condition: Unmet, facts: NodeFacts | None, dmesg: str, words: str) -> None:
    said = likely_cause(condition, facts, (), dmesg, R111)
    assert words in said
    assert bool(words) == bool(said)


def test_a_service_that_does_not_start_is_the_last_guess() -> None:
    waiting = [service("ext-nvidia-persistenced", "Waiting")]
    assert "an extension's service" in likely_cause(Unmet("services", "x"), READY, waiting, "", R111)
