"""What of a spec is no longer the host's."""

from __future__ import annotations

from pathlib import Path

import pytest

from talos_gpu.cdi import Check, Finding, HostFacts, Spec, freshness, parse

UUID = "GPU-3b1f2c4d-5e6f-7a8b-9c0d-1e2f3a4b5c6d"
OTHER = "GPU-aaaaaaaa-5e6f-7a8b-9c0d-1e2f3a4b5c6d"


@pytest.fixture
def real(real_spec: str) -> Spec:
    return parse(real_spec)


@pytest.fixture
def newest(fixtures: Path) -> Spec:
    """Toolkit 1.20.0 with majors and every hook there is."""
    return parse((fixtures / "cdi/h100-580/toolkit-1.20.0.yaml").read_text())


def told(spec: Spec, host: HostFacts) -> list[tuple[str, str, bool]]:
    return [(finding.check, finding.evidence, finding.breaks) for finding in freshness(spec, host)]


def test_nothing_known_is_nothing_said(newest: Spec) -> None:
    assert freshness(newest, HostFacts()) == ()


def test_a_fresh_spec(real: Spec, newest: Spec) -> None:
    host = HostFacts(driver="535.247.01", majors={"nvidia": 195}, missing=frozenset(), toolkit="1.17.8", gpus={UUID})
    assert freshness(real, host) == ()
    assert freshness(newest, HostFacts(driver="580.159.04", majors={"nvidia-uvm": 238}, toolkit="1.20.0")) == ()


def test_another_driver_with_all_its_evidence(real: Spec) -> None:
    assert freshness(real, HostFacts(driver="535.261.03")) == (
        Finding(
            Check.DRIVER,
            "the spec names driver 535.247.01 in /usr/local/glibc/usr/lib/libEGL_nvidia.so.535.247.01 and 16 more; "
            "the host has 535.261.03",
            "the driver changed after the spec was made, and its libraries carry its version in their names",
            "generate the spec anew on the node: nvidia-ctk cdi generate",
            "nvidia-ctk writes the driver version into paths and --host-driver-version; containers then fail to "
            "mount them (H100, toolkit 1.17.8)",
        ),
    )


def test_a_stale_cuda_compat_argument_alone_is_found(real_spec: str) -> None:
    spec = parse(real_spec.replace("--host-driver-version=535.247.01", "--host-driver-version=535.230.02"))
    assert told(spec, HostFacts(driver="535.247.01")) == [
        (
            "driver-version",
            "the spec names driver 535.230.02 in --host-driver-version=535.230.02; the host has 535.247.01",
            True,
        )
    ]


def test_moved_majors(newest: Spec) -> None:
    assert told(newest, HostFacts(majors={"nvidia": 195, "nvidia-uvm": 511})) == [
        ("device-major", "the spec says major 238 of /dev/nvidia-uvm; /proc/devices says 511 nvidia-uvm", True),
        ("device-major", "the spec says major 238 of /dev/nvidia-uvm-tools; /proc/devices says 511 nvidia-uvm", True),
    ]


def test_majors_of_an_older_driver_go_by_its_name(newest: Spec) -> None:
    assert told(newest, HostFacts(majors={"nvidia-frontend": 194}))[0][1] == (
        "the spec says major 195 of /dev/nvidiactl; /proc/devices says 194 nvidia-frontend"
    )


def test_moved_minors(newest: Spec) -> None:
    host = HostFacts(majors={"nvidia": 195}, nodes={"/dev/nvidia0": (195, 1), "/dev/nvidiactl": (195, 255)})
    assert told(newest, host) == [
        ("device-minor", "the spec says 195:0 for /dev/nvidia0; the host has 195:1", True),
    ]


def test_missing_paths_nodes_and_hook_binaries(real: Spec) -> None:
    missing = frozenset(
        ("/usr/local/glibc/usr/lib/libcuda.so.535.247.01", "/dev/nvidia-uvm", "/usr/local/bin/nvidia-cdi-hook", "/x")
    )
    assert [(check, evidence) for check, evidence, _ in told(real, HostFacts(missing=missing))] == [
        (
            "host-path-missing",
            "the spec wants /usr/local/glibc/usr/lib/libcuda.so.535.247.01; the host does not have it",
        ),
        ("device-node-missing", "the spec wants /dev/nvidia-uvm; the host does not have it"),
        ("hook-binary-missing", "10 hooks run /usr/local/bin/nvidia-cdi-hook; the host does not have it"),
    ]


@pytest.mark.parametrize(
    ("toolkit", "expected"),
    [
        (
            "1.17.8",
            [
                ("disable-device-node-modification", "1.18.0", True),
                ("update-application-profile", "1.20.0", True),
            ],
        ),
        ("1.17.4-rc.1", [("enable-cuda-compat", "1.17.5", True)]),
        ("v1.19.1", [("update-application-profile", "1.20.0", False)]),
        ("1.20.0", []),
        ("unknown", []),
    ],
)
def test_hooks_that_the_binary_does_not_know(newest: Spec, toolkit: str, expected: list[tuple[str, str, bool]]) -> None:
    found = told(newest, HostFacts(toolkit=toolkit))
    for name, since, breaks in expected:
        evidence = f"the spec has the hook {name}, which the toolkit knows from {since}; the host has {toolkit}"
        assert ("hook-binary-older", evidence, breaks) in found
    assert expected or not found


@pytest.mark.parametrize(
    ("gpus", "expected"),
    [
        ({UUID}, []),
        ({OTHER}, [("gpu-gone", True), ("gpu-new", False)]),
        ({UUID, OTHER}, [("gpu-new", False)]),
        (set(), [("gpu-gone", True)]),
    ],
)
def test_gpus_that_came_or_went(real: Spec, gpus: set[str], expected: list[tuple[str, bool]]) -> None:
    assert [(check, breaks) for check, _, breaks in told(real, HostFacts(gpus=gpus))] == expected


def test_a_spec_by_index_is_counted(real_spec: str) -> None:
    spec = parse(real_spec.replace(UUID, "gpu0"))
    assert told(spec, HostFacts(gpus={UUID, OTHER})) == [
        ("gpu-new", "the spec has device nodes of 1 GPUs; the host has 2", False)
    ]
    assert told(spec, HostFacts(gpus={OTHER})) == []


def test_a_gpu_in_mig_mode_is_no_new_one(real_spec: str) -> None:
    """It is given by its slices, beside a GPU that is given whole."""
    spec = parse(real_spec.replace("name: all", 'name: "1:0"'))
    assert told(spec, HostFacts(gpus={UUID, OTHER})) == []
    assert told(spec, HostFacts(gpus={OTHER})) == [
        ("gpu-gone", f"the spec gives {UUID}; the host has {OTHER}", True),
    ]
