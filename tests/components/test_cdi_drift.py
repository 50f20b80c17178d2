"""What a refresh says of a node's specs, by kind: the whole text that a preview shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.drift import MOST_LINES, Cause, changes, installed_drift, source_drift
from components.freshness import unfit
from talos_gpu.cdi import Strategy, facts, patch

SOURCE, INSTALLED = "/var/cdi/nvidia.yaml", "/var/run/cdi/nvidia.yaml"
GPU = "device GPU-3b1f2c4d-5e6f-7a8b-9c0d-1e2f3a4b5c6d"


@pytest.fixture
def source(fixtures: Path) -> str:
    return (fixtures / "cdi/p2000-535/toolkit-1.17.8.yaml").read_text()


def said(source: str, now: str) -> dict[str, list[str]]:
    recorded = patch(source, Strategy.REAL)
    props = {
        "text": recorded.text,
        "source_sha256": recorded.source_sha256,
        "driver_version": facts(source).driver_version,
    }
    return source_drift(props, SOURCE, patch(now, Strategy.REAL))


def test_the_same_spec_is_no_drift(source: str) -> None:
    assert said(source, source) == {}
    installed = patch(source, Strategy.REAL).text
    assert installed_drift(installed, INSTALLED, installed.encode()) == {}


def test_a_regenerated_spec(source: str) -> None:
    head = f"{SOURCE} is another one than the one installed:"
    now = source.replace("NVIDIA_CTK_DEBUG=false", "NVIDIA_CTK_DEBUG=true", 1)
    assert said(source, now) == {
        Cause.REGENERATED: [
            head,
            "~ hook create-symlinks: env: NVIDIA_CTK_DEBUG=false -> NVIDIA_CTK_DEBUG=true",
        ]
    }
    assert said(source, f"# made anew\n{source}") == {
        Cause.REGENERATED: [head, "the same for containers: nothing but its layout differs"]
    }


def test_another_driver_is_one_line(source: str) -> None:
    assert said(source, source.replace("535.247.01", "535.261.03")) == {
        Cause.DRIVER: [
            f"{SOURCE} is another one than the one installed:",
            "~ driver version: 535.247.01 -> 535.261.03 in 18 elements",
        ]
    }


def test_an_edited_spec_in_lines_that_no_preview_cuts(source: str) -> None:
    drift = installed_drift(patch(source, Strategy.REAL).text, INSTALLED, source.encode())
    assert drift == {
        Cause.EDITED: [
            f"{INSTALLED} is not the spec that was installed: it was edited (sha256 2cad43f6)",
            f"~ device 0: hook create-symlinks: path, device 0: hook chmod: path, {GPU}: hook create-symlinks:",
            f"    path, {GPU}: hook chmod: path and 6 more:",
            "    /usr/local/bin/nvidia-cdi-hook.real -> /usr/local/bin/nvidia-cdi-hook",
        ]
    }


@pytest.mark.parametrize(
    ("found", "line"),
    [
        (b"", "  1:1: no spec in it [empty]"),
        (b"\xff", "  1:1: byte 0 is no UTF-8: invalid start byte [encoding]"),
        (b"foo: 1\n", "  1:1: devices: no devices [no-devices]"),
    ],
)
def test_an_edit_that_makes_it_invalid_is_told_as_its_faults(source: str, found: bytes, line: str) -> None:
    [lines] = installed_drift(source, INSTALLED, found).values()
    assert lines[1].startswith("CDI spec invalid, ")
    assert line in lines


def test_a_removed_spec(source: str) -> None:
    assert installed_drift(source, INSTALLED, None) == {
        Cause.REMOVED: [f"{INSTALLED} is not there: the installer has not put it there, or has withdrawn it"]
    }
    assert unfit(None, Strategy.REAL) == {Cause.REMOVED: [f"{SOURCE} is not there"]}


def test_a_long_diff_is_cut_and_counted() -> None:
    head = "cdiVersion: 0.5.0\nkind: a.b/cc\ndevices: [{name: x, containerEdits: {env: [A=b]}}]\n"
    env = ", ".join(f"N{number}={number}" for number in range(50))
    lines = changes(head, f"{head}containerEdits: {{env: [{env}]}}\n".encode())
    assert (len(lines), lines[0]) == (MOST_LINES + 1, "+ env N0: 0")
    assert lines[-1] == "and 30 more: talos-gpu cdi diff"


@pytest.mark.parametrize(
    ("spoil", "cause", "line"),
    [
        (("535.247.01", "535.230.02"), Cause.DRIVER, "was made for driver 535.230.02, the node has 535.247.01"),
        (("kind: nvidia.com/gpu", "kind: gpu"), Cause.UNFIT, "kind 'gpu' is no <vendor>/<class> [kind]"),
        (("/usr/local/bin/nvidia-cdi-hook", "/bin/other"), Cause.UNFIT, "hook path '/bin/other'"),
    ],
)
def test_a_generated_spec_that_cannot_be_used(source: str, spoil: tuple[str, str], cause: Cause, line: str) -> None:
    [(found, lines)] = unfit(source.replace(*spoil).encode(), Strategy.REAL, "535.247.01").items()
    assert (found, line in lines[0]) == (cause, True), lines


def test_a_generated_spec_of_junk_is_a_finding_and_no_traceback() -> None:
    assert unfit(b"\xff\xfe\x00", Strategy.REAL).keys() == {Cause.UNFIT}
