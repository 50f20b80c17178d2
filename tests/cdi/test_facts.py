"""What a spec needs of its host."""

from __future__ import annotations

from pathlib import Path

import pytest

from talos_gpu.cdi import FactsUnclear, Strategy, facts, facts_file, patch

HEAD = """\
cdiVersion: 0.5.0
kind: nvidia.com/gpu
devices: [{name: all, containerEdits: {deviceNodes: [{path: /dev/nvidiactl}]}}]
"""


def with_mounts(*paths: str) -> str:
    return f"{HEAD}containerEdits:\n  mounts:\n" + "".join(
        f"  - {{hostPath: {path!r}, containerPath: /x}}\n" for path in paths
    )


@pytest.mark.parametrize(
    ("fixture", "driver"),
    [("p2000-535/toolkit-1.17.8.yaml", "535.247.01"), ("h100-580/toolkit-1.20.0.yaml", "580.159.04")],
)
def test_the_driver_version_is_read_from_the_libraries(fixtures: Path, fixture: str, driver: str) -> None:
    found = facts((fixtures / "cdi" / fixture).read_text())
    assert (found.driver_version, found.driver_versions) == (driver, (driver,))


def test_majors_and_minors_of_toolkit_1_19(fixtures: Path) -> None:
    found = facts((fixtures / "cdi/h100-580/toolkit-1.19.1.yaml").read_text())
    assert dict(found.majors) == {
        "/dev/nvidia-uvm": (238, 0),
        "/dev/nvidia-uvm-tools": (238, 1),
        "/dev/nvidiactl": (195, 255),
        "/dev/nvidia0": (195, 0),
    }


def test_versions_of_other_libraries_are_no_driver_versions() -> None:
    found = facts(with_mounts("/l/libnvidia-egl-wayland.so.1.1.11", "/l/libcuda.so.535.247.01", "/l/libx.so.1"))
    assert found.driver_version == "535.247.01"


@pytest.mark.parametrize(
    ("paths", "named"),
    [
        (("/l/liba.so.535.247.01", "/l/libb.so.550.90.07", "/l/libc.so.550.90.07"), "550.90.07, 535.247.01"),
        (("/l/liba.so.1",), "none"),
    ],
)
def test_no_single_driver_version_is_reported(paths: tuple[str, ...], named: str) -> None:
    text = with_mounts(*paths)
    found = facts(text)
    assert found.driver_version is None
    with pytest.raises(FactsUnclear, match=f"it names {named}"):
        facts_file(patch(text, Strategy.NONE), found)


def test_the_facts_file_whole(real_spec: str) -> None:
    text = with_mounts("/usr/lib/libcuda.so.535.247.01", "/usr/lib/with blank").replace(
        "{path: /dev/nvidiactl}", "{path: /dev/nvidiactl, major: 195, minor: 255}, {path: /dev/x, hostPath: /dev/y}"
    )
    text += "  hooks: [{hookName: createContainer, path: /usr/local/bin/nvidia-cdi-hook}]\n"
    patched = patch(text, Strategy.REAL)
    assert facts_file(patched, facts(patched.text), node="lab-1") == (
        f"source_sha256 {patched.source_sha256}\n"
        f"spec_sha256 {patched.sha256}\n"
        "driver 535.247.01\n"
        "kind nvidia.com/gpu\n"
        "name all\n"
        "path /usr/lib/libcuda.so.535.247.01\n"
        "path /usr/lib/with blank\n"
        "exec /usr/local/bin/nvidia-cdi-hook.real\n"
        "device /dev/nvidiactl 195 255\n"
        "device /dev/y\n"
        "node lab-1\n"
    )


@pytest.mark.parametrize("path", ["/a\nexec /bin/sh", "/a\rb"])
def test_a_path_that_could_forge_a_fact_is_refused(path: str) -> None:
    text = with_mounts("/usr/lib/libcuda.so.535.247.01", path)
    text = text.replace(repr(path), '"' + path.replace("\n", "\\n").replace("\r", "\\r") + '"')
    with pytest.raises(FactsUnclear, match="cannot carry"):
        facts_file(patch(text, Strategy.NONE), facts(text))


def test_mounts_that_are_no_binds_are_no_host_paths() -> None:
    text = with_mounts("/usr/lib/libcuda.so.535.247.01") + "  - {hostPath: tmpfs, containerPath: /t, type: tmpfs}\n"
    assert facts(text).host_paths == ("/usr/lib/libcuda.so.535.247.01", "/dev/nvidiactl")
