"""What a person reads of two specs."""

from __future__ import annotations

from pathlib import Path

import yaml

from talos_gpu.cdi import Change, ChangeKind, Place, Strategy, as_json, diff, patch, render, render_markdown


def test_layout_and_order_of_keys_are_no_change(real_spec: str) -> None:
    other = yaml.safe_dump(yaml.safe_load(real_spec), sort_keys=True, indent=6, default_style='"')
    assert diff(real_spec, other) == []
    assert render([]) == ""


def test_the_patch_shows_hook_by_hook(real_spec: str) -> None:
    changes = diff(real_spec, patch(real_spec, Strategy.REAL).text)
    assert len(changes) == 10
    assert changes[0] == Change(
        ChangeKind.CHANGED,
        Place("hook", "create-symlinks", "path", device="0"),
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
    assert render(diff(real_spec, upgraded)) == "~ driver version: 535.247.01 -> 535.261.03 in 18 elements\n"


def test_what_comes_with_a_driver_upgrade_is_listed_beside_it(real_spec: str) -> None:
    upgraded = yaml.safe_load(real_spec.replace("535.247.01", "535.261.03"))
    upgraded["containerEdits"]["mounts"].pop(0)
    upgraded["containerEdits"]["env"].append("A=b")
    upgraded["devices"].pop(0)
    upgraded["containerEdits"]["hooks"].pop()
    assert render(diff(real_spec, yaml.safe_dump(upgraded))) == (
        "~ driver version: 535.247.01 -> 535.261.03 in 18 elements\n"
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


def test_what_a_driver_upgrade_renames_is_there_on_request(real_spec: str) -> None:
    changes = diff(real_spec, real_spec.replace("535.247.01", "535.261.03"), every=True)
    assert changes[0].count == 18
    # 16 libraries, the link to one of them, the argument of enable-cuda-compat
    assert len(changes) == 1 + 18
    name = "/usr/local/glibc/usr/lib/libEGL_nvidia.so."
    assert (changes[1].kind, changes[1].path) == (ChangeKind.CHANGED, f"mount {name}535.261.03")
    assert (changes[1].old, changes[1].new) == (f"{name}535.247.01", f"{name}535.261.03")
    assert changes[-1].path == "hook enable-cuda-compat"


def test_an_upgrade_of_the_real_h100_spec_is_one_line(fixtures: Path) -> None:
    text = (fixtures / "cdi/h100-580/toolkit-1.20.0.yaml").read_text()
    changes = diff(text, text.replace("580.159.04", "580.200.01"))
    assert [(change.path, change.old, change.new) for change in changes] == [
        ("driver version", "580.159.04", "580.200.01")
    ]


def test_a_longer_version_is_not_taken_for_the_driver() -> None:
    head = "cdiVersion: 0.5.0\nkind: nvidia.com/gpu\ndevices: [{name: all, containerEdits: {env: [V=%s]}}]\n"
    mount = "containerEdits: {mounts: [{hostPath: /l/liba.so.%s, containerPath: /l/a}]}\n"
    changes = diff((head % "1.535.247.010") + (mount % "535.247"), (head % "1.535.247.010") + (mount % "535.261"))
    assert render(changes) == "~ driver version: 535.247 -> 535.261 in 1 elements\n"


def test_a_hook_that_went_does_not_rename_those_behind_it(real_spec: str) -> None:
    links = "containerEdits:\n  hooks:\n" + "".join(
        f"  - {{hookName: createContainer, path: /h, args: [h, create-symlinks, --link, {name}]}}\n" for name in "abc"
    )
    head = "cdiVersion: 0.5.0\nkind: nvidia.com/gpu\ndevices: [{name: all, containerEdits: {env: [A=b]}}]\n"
    without_a = head + "".join(line for line in links.splitlines(keepends=True) if "--link, a]" not in line)
    assert render(diff(head + links, without_a)) == "- hook create-symlinks: h create-symlinks --link a\n"
    assert render(diff(without_a, head + links)) == "+ hook create-symlinks #3: h create-symlinks --link a\n"


def test_markdown_is_a_table(real_spec: str) -> None:
    assert render_markdown(diff(real_spec, real_spec.replace("GPU-3b1f2c4d", "GPU|4c").replace("|", "-"))) == (
        "| Change | Where | What |\n|---|---|---|\n"
        "| removed | device GPU-3b1f2c4d-5e6f-7a8b-9c0d-1e2f3a4b5c6d |  |\n"
        "| added | device GPU-4c-5e6f-7a8b-9c0d-1e2f3a4b5c6d |  |\n"
    )
    assert render_markdown([]) == "No change for containers.\n"


def test_a_cell_cannot_break_the_table() -> None:
    change = Change(ChangeKind.CHANGED, Place("env", "A"), "a|b", "<b>`c`\nd")
    assert render_markdown([change]).splitlines()[2] == "| changed | env A | a\\|b -> &lt;b>\\`c\\` d |"


def test_json_has_the_place_in_parts(real_spec: str) -> None:
    [first, *_] = as_json(diff(real_spec, patch(real_spec, Strategy.REAL).text))
    assert first == {
        "change": "changed",
        "device": "0",
        "element": "hook",
        "name": "create-symlinks",
        "field": "path",
        "old": "/usr/local/bin/nvidia-cdi-hook",
        "new": "/usr/local/bin/nvidia-cdi-hook.real",
        "count": 1,
    }
