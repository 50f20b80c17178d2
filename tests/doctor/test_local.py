"""`doctor --local` on pretended roots: the wrapper is told from a hook of the machine's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from talos_gpu.cdi import Strategy, facts, patch
from talos_gpu.doctor.bundle import Bundle
from talos_gpu.doctor.checks import CHECKS
from talos_gpu.doctor.diagnose import diagnose
from talos_gpu.doctor.local import gather_local, local_checks


@pytest.fixture
def root(tmp_path: Path, fixtures: Path) -> Path:
    """A machine with all that the spec names, and the spec as generated."""
    text = (fixtures / "cdi/h100-580/toolkit-1.17.8.yaml").read_text()
    needed = facts(text)
    for path in (*needed.host_paths, *needed.executables):
        there = tmp_path / path.lstrip("/")
        there.parent.mkdir(parents=True, exist_ok=True)
        there.write_text("")
        there.chmod(0o777)
    spec = tmp_path / "var/run/cdi/nvidia.yaml"
    spec.parent.mkdir(parents=True)
    spec.write_text(text)
    return tmp_path


def roots(root: Path) -> set[str]:
    found = diagnose(gather_local(root), local_checks(CHECKS))
    return {one.check for one in found.roots if one.check.startswith(("spec-", "hook-"))}


def test_a_hook_that_is_the_machine_s_own_needs_no_patch(root: Path) -> None:
    assert roots(root) == set()


def test_behind_the_wrapper_an_unpatched_spec_is_the_root_and_a_patched_one_is_none(root: Path) -> None:
    (root / "usr/local/bin/nvidia-cdi-hook.real").write_text("")
    assert roots(root) == {"spec-unpatched"}
    spec = root / "var/run/cdi/nvidia.yaml"
    spec.write_text(patch(spec.read_text(), Strategy.REAL).text)
    assert roots(root) == set()


@pytest.mark.parametrize(("release", "wanted"), [("v1.7.0", {"cdi-disabled"}), ("v1.12.0", set())])
def test_without_a_configuration_containerd_s_defaults_are_in_force(root: Path, release: str, wanted: set[str]) -> None:
    """containerd 1.7, as the Talos release has it, does no CDI unless it is told to; 2.x does."""
    found = gather_local(root)
    bundle = Bundle({**found.texts, "talos/version.txt": f"{release}\n"}, found.unread)
    seen = {one.check for one in diagnose(bundle, local_checks(CHECKS)).roots}
    assert seen & {"cdi-disabled"} == wanted
