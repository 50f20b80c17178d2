"""What a person reads of two specs."""

from __future__ import annotations

from pathlib import Path

import yaml

from talos_gpu.cdi import Change, ChangeKind, Strategy, diff, patch, render


def test_layout_and_order_of_keys_are_no_change(real_spec: str) -> None:
    other = yaml.safe_dump(yaml.safe_load(real_spec), sort_keys=True, indent=6, default_style='"')
    assert diff(real_spec, other) == []
    assert render([]) == ""


def test_the_patch_shows_hook_by_hook(real_spec: str) -> None:
    changes = diff(real_spec, patch(real_spec, Strategy.REAL).text)
    assert len(changes) == 10
    assert changes[0] == Change(
        ChangeKind.CHANGED,
        "device 0: hook create-symlinks: path",
        "/usr/local/bin/nvidia-cdi-hook",
        "/usr/local/bin/nvidia-cdi-hook.real",
    )


def test_the_patch_reads_as_one_line(real_spec: str) -> None:
    gpu = "device GPU-3b1f2c4d-5e6f-7a8b-9c0d-1e2f3a4b5c6d"
    assert render(diff(real_spec, patch(real_spec, Strategy.REAL).text)) == (
        f"~ device 0: hook create-symlinks: path, device 0: hook chmod: path, {gpu}: hook create-symlinks: path, "
        f"{gpu}: hook chmod: path and 6 more: "
        "/usr/local/bin/nvidia-cdi-hook -> /usr/local/bin/nvidia-cdi-hook.real\n"
    )


def test_a_driver_upgrade_is_one_line(real_spec: str) -> None:
    upgraded = real_spec.replace("535.247.01", "535.261.03")
    assert render(diff(real_spec, upgraded)) == "~ driver version: 535.247.01 -> 535.261.03\n"


def test_what_comes_with_a_driver_upgrade_is_listed_beside_it(real_spec: str) -> None:
    upgraded = yaml.safe_load(real_spec.replace("535.247.01", "535.261.03"))
    upgraded["containerEdits"]["mounts"].pop(0)
    upgraded["containerEdits"]["env"].append("A=b")
    upgraded["devices"].pop(0)
    upgraded["containerEdits"]["hooks"].pop()
    assert render(diff(real_spec, yaml.safe_dump(upgraded))) == (
        "~ driver version: 535.247.01 -> 535.261.03\n"
        "- device 0\n"
        "- mount /usr/local/bin/nvidia-smi\n"
        "- hook update-ldcache: nvidia-cdi-hook update-ldcache --folder /usr/local/glibc/usr/lib\n"
        "+ env A: b\n"
    )


def test_a_newer_toolkit(fixtures: Path) -> None:
    old, new = ((fixtures / f"cdi/h100-580/toolkit-{version}.yaml").read_text() for version in ("1.19.1", "1.20.0"))
    assert render(diff(old, new)) == ("+ hook update-application-profile: nvidia-cdi-hook update-application-profile\n")
    assert render(diff(new, old)).startswith("- hook update-application-profile")


def test_a_moved_major(fixtures: Path) -> None:
    text = (fixtures / "cdi/h100-580/toolkit-1.20.0.yaml").read_text()
    assert render(diff(text, text.replace("major: 238", "major: 511"))) == (
        "~ node /dev/nvidia-uvm: 238:0 mode 666 rwm -> 511:0 mode 666 rwm\n"
        "~ node /dev/nvidia-uvm-tools: 238:1 mode 666 rwm -> 511:1 mode 666 rwm\n"
    )
