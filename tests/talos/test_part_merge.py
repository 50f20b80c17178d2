"""The containerd part merged into another's."""

from __future__ import annotations

import tomllib

import pytest

from talos_gpu.talos.part import part_toml
from talos_gpu.talos.part_merge import merge_part
from talos_gpu.talos.releases import strategy_for

OURS = part_toml(strategy_for("1.11"), default_runtime=False)
SECTION = 'plugins."io.containerd.cri.v1.runtime"'
MINE = f"""
[{SECTION}]
cdi_spec_dirs = ["/etc/cdi", "/var/run/cdi"]

[{SECTION}.containerd.runtimes.nvidia-cdi]
runtime_type = "io.containerd.runc.v2"

[{SECTION}.containerd.runtimes.nvidia-cdi.options]
BinaryName = "/usr/local/bin/nvidia-container-runtime.cdi"
"""


@pytest.mark.parametrize(
    ("have", "merged"),
    [
        ("", MINE.lstrip()),
        (
            '# Spegel\n[plugins."io.containerd.cri.v1.images"]\n  discard_unpacked_layers = false\n',
            '# Spegel\n[plugins."io.containerd.cri.v1.images"]\n  discard_unpacked_layers = false\n' + MINE,
        ),
        (
            f"[{SECTION}]\n  device_ownership_from_security_context = true # KubeVirt\n[metrics]\n  address = ':1'\n",
            f"[{SECTION}]\n  device_ownership_from_security_context = true # KubeVirt\n"
            '  cdi_spec_dirs = ["/etc/cdi", "/var/run/cdi"]\n'
            + MINE.partition('cdi"]\n')[2].rstrip("\n")
            + "\n[metrics]\n  address = ':1'\n",
        ),
    ],
)
def test_ours_is_added_and_theirs_stays_as_it_was(have: str, merged: str) -> None:
    found = merge_part(OURS, have)
    assert tomllib.loads(found.text) == tomllib.loads(merged)
    assert found.text.split() == merged.split()
    assert found.clashes == ()
    assert merge_part(OURS, found.text).text == found.text
    assert merge_part(OURS, found.text).changes == ()


@pytest.mark.parametrize(
    ("theirs", "merged"),
    [
        ('["/var/run/cdi"]', ["/etc/cdi", "/var/run/cdi"]),
        ('["/run/cdi"]', ["/etc/cdi", "/run/cdi"]),
        ('["/etc/cdi/", "/var/run/cdi/"]', ["/etc/cdi/", "/var/run/cdi/"]),
        ('["/opt/dra/cdi"]', ["/opt/dra/cdi", "/etc/cdi", "/var/run/cdi"]),
        ('["/var/run/cdi", "/opt/dra/cdi", "/etc/cdi"]', ["/opt/dra/cdi", "/etc/cdi", "/var/run/cdi"]),
        ('["/etc/cdi", "/opt/dra/cdi", "/run/cdi"]', ["/etc/cdi", "/opt/dra/cdi", "/run/cdi"]),
        ('["/a", "/etc/cdi", "/a", "/b"]', ["/a", "/b", "/etc/cdi", "/var/run/cdi"]),
        ("[]", ["/etc/cdi", "/var/run/cdi"]),
    ],
)
def test_folders_are_a_union_in_which_ours_win(theirs: str, merged: list[str]) -> None:
    found = merge_part(OURS, f"[{SECTION}]\ncdi_spec_dirs = {theirs}\n")
    runtime = tomllib.loads(found.text)["plugins"]["io.containerd.cri.v1.runtime"]
    assert runtime["cdi_spec_dirs"] == merged


def test_the_old_section_stays_and_is_said_to_be_without_effect() -> None:
    found = merge_part(OURS, '[plugins."io.containerd.grpc.v1.cri"]\n  enable_cdi = true\n')
    assert "io.containerd.grpc.v1.cri" in found.text
    assert found.warnings == (
        "plugins.\"io.containerd.grpc.v1.cri\" is containerd 1's section: this release's containerd does not read it",
    )


def test_a_default_runtime_that_the_stack_did_not_ask_for_is_said() -> None:
    have = f'[{SECTION}.containerd]\ndefault_runtime_name = "nvidia-cdi"\n'
    assert merge_part(OURS, have).warnings == (
        "default_runtime_name is 'nvidia-cdi': every pod of the node goes through that runtime",
    )
    assert merge_part(part_toml(strategy_for("1.11"), default_runtime=True), have).warnings == ()


def test_comments_that_cannot_stay_are_reported() -> None:
    found = merge_part(OURS, f'[{SECTION}]\ncdi_spec_dirs = [\n  "/etc/cdi", # one\n  "/x", # two\n]\n')
    assert "# two" in found.text
    assert found.warnings == ("not all of its comments could be kept",)


def test_a_form_that_cannot_be_edited_is_written_anew() -> None:
    have = f"[{SECTION}.containerd]\n[metrics]\na = 1\n[{SECTION}.cni]\nb = 2\n[{SECTION}]\nc = 3 # c\n"
    found = merge_part(OURS, have)
    read = tomllib.loads(found.text)
    assert read["metrics"] == {"a": 1}
    assert read["plugins"]["io.containerd.cri.v1.runtime"]["cni"] == {"b": 2}
    assert read["plugins"]["io.containerd.cri.v1.runtime"]["cdi_spec_dirs"] == ["/etc/cdi", "/var/run/cdi"]


def test_every_clash_names_both_sides() -> None:
    have = (
        f'[{SECTION}.containerd]\ndefault_runtime_name = "runc"\n'
        f'[{SECTION}.containerd.runtimes.nvidia-cdi]\nruntime_type = "io.containerd.kata.v2"\n'
        f'options = {{ BinaryName = "/opt/x" }}\n'
    )
    want = part_toml(strategy_for("1.11"), default_runtime=True)
    runtime = f"{SECTION}.containerd.runtimes.nvidia-cdi"
    assert merge_part(want, have).clashes == (
        f'{SECTION}.containerd.default_runtime_name is "runc", wanted "nvidia-cdi"',
        f'{runtime}.runtime_type is "io.containerd.kata.v2", wanted "io.containerd.runc.v2"',
        f'{runtime}.options.BinaryName is "/opt/x", wanted "/usr/local/bin/nvidia-container-runtime.cdi"',
    )
    assert merge_part(OURS, have).clashes[0].startswith(f"{SECTION}.containerd.runtimes")
