"""The judgement of what a container has of the GPU."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from talos_gpu.verify import inside
from talos_gpu.verify.report import Outcome, Proof
from talos_gpu.verify.said import Said


def test_the_probe_is_read() -> None:
    text = (
        "node /dev/nvidia-uvm ff:0:666 \n"
        "node /dev/nvidia0 c3:0:666 sh: 2: cannot open /dev/nvidia0: No such device or address\n"
        "node /dev/nvidiactl c3:ff:666 sh: 2: cannot open /dev/nvidiactl: Operation not permitted\n"
        "library /usr/local/glibc/usr/lib/libcuda.so.535.247.01 linked\n"
        "library /usr/local/glibc/usr/lib/libnvidia-ml.so.535.247.01 bare\n"
        "env NVIDIA_VISIBLE_DEVICES=void\nmajor nvidia-uvm 511\ntool timeout\n"
    )
    found = inside.parse(text)
    assert found.missing_nodes() == []
    assert found.refused_nodes() == ["/dev/nvidiactl"]
    assert found.stale_nodes(None) == [("/dev/nvidia-uvm", 255, 511)]
    assert found.stale_nodes({"nvidia-uvm": 255}) == []
    assert found.libraries == {"libcuda": "535.247.01", "libnvidia-ml": "535.247.01"}
    assert found.unlinked == ("libnvidia-ml",)
    assert found.env == {"NVIDIA_VISIBLE_DEVICES": "void"}
    assert found.tools == {"timeout"}


HEALTHY = (
    "node /dev/nvidiactl c3:ff:666 \nnode /dev/nvidia0 c3:0:666 \nnode /dev/nvidia-uvm 1ff:0:666 \n"
    "library /l/libcuda.so.535.247.01 linked\nlibrary /l/libnvidia-ml.so.535.247.01 linked\n"
    "library /l/libnvidia-encode.so.535.247.01 linked\nlibrary /l/libnvcuvid.so.535.247.01 linked\n"
)


def looked(text: str) -> Proof:
    return inside.judge(Said(("sh",), 0, text, "", 0.1), "535.247.01", {"nvidia-uvm": 511})


@pytest.mark.parametrize(
    ("env", "cause"),
    [
        ({}, ""),
        ({"DEVICES": "void", "CAPABILITIES": "graphics"}, ""),  # CDI: all was injected, whatever is asked for
        ({"DEVICES": "all", "CAPABILITIES": "compute,video,utility"}, ""),
        ({"DEVICES": "all", "CAPABILITIES": "all"}, ""),
        ({"DEVICES": "none"}, "env-devices"),
        ({"DEVICES": "all", "CAPABILITIES": "graphics"}, "env-capabilities"),
        ({"DEVICES": "all", "CAPABILITIES": "compute,utility"}, "env-capabilities"),
    ],
)
def test_what_the_environment_asks_for_is_judged_as_far_as_the_way_of_injection_obeys_it(
    env: Mapping[str, str], cause: str
) -> None:
    names = {"DEVICES": "NVIDIA_VISIBLE_DEVICES", "CAPABILITIES": "NVIDIA_DRIVER_CAPABILITIES"}
    found = looked(HEALTHY + "".join(f"env {names[name]}={value}\n" for name, value in env.items()))
    assert (found.cause, found.outcome) == (cause, Outcome.DISPROVEN if cause else Outcome.PROVEN)


def test_every_fault_inside_is_told_the_deepest_first() -> None:
    text = HEALTHY.replace("1ff:0", "ff:0").replace("libnvcuvid.so.535.247.01 linked", "libnvcuvid.so.535.230.02 bare")
    found = looked(text + "env NVIDIA_VISIBLE_DEVICES=none\n")
    assert found.cause == "uvm-stale"
    assert all(
        part in found.sentence for part in ("has major 255", "libnvcuvid: mounted without", "535.230.02", "=none")
    )
    assert found.remedy.count("generate and install the CDI spec anew (pulumi up --refresh), then restart the pod") == 2
