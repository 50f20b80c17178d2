"""Rendered machine configs before Talos's own loader, patcher and validation (1.11.6 and 1.13.9).

TALOS_GPU_FUZZ=10000 asks for that many bases instead of a few hundred.
"""

from __future__ import annotations

import os
import tomllib
from typing import Any

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from talos_gpu.talos.errors import MachineConfigConflict
from talos_gpu.talos.machine_config import GpuMachineConfig, lacking, wanted
from talos_gpu.talos.part import PART_PATH, RUNTIME, RUNTIME_BINARY
from talos_gpu.talos.reboot import reboot_reasons
from talos_gpu.talos.releases import CRI_SECTION_2, Method, strategy_for
from talos_gpu.talos.render import render
from talos_gpu.talos.udev import same_rule
from tests.talos.bases import Recipe, ours_win, recipes
from tests.talos.oracle_client import TalosOracle

CASES = int(os.environ.get("TALOS_GPU_FUZZ", "150"))
CONTRACTS = {
    "1.11": ("1.8", "1.9", "1.10", "1.11"),
    "1.13": ("1.8", "1.9", "1.10", "1.11", "1.12", "1.13"),
}
"""Version contracts by the machinery that judges: what it generates configs for, and validates them against."""
SECTION = ("plugins", CRI_SECTION_2)
TALOS_PARTS = [
    '[plugins."io.containerd.cri.v1.images"]\n  discard_unpacked_layers = true\n',
    f'[plugins."{CRI_SECTION_2}".containerd.runtimes.nvidia]\n  runtime_type = "io.containerd.runc.v2"\n',
]
"""As Talos and the toolkit's extension ship them, before ours in the order of names."""


def want_for(contract: str, *, default_runtime: bool) -> GpuMachineConfig:
    """Method spec, and from 1.13 on native, which asks for no part."""
    release = strategy_for(contract)
    method = Method.SPEC if Method.SPEC in release.methods else Method.NATIVE
    return wanted(release, method, default_runtime=default_runtime)


@seed(11)
@settings(max_examples=CASES, deadline=None, derandomize=False, database=None, suppress_health_check=list(HealthCheck))
@given(data=st.data(), default_runtime=st.booleans())
def test_a_rendered_config_is_what_talos_wants(oracle: TalosOracle, data: st.DataObject, default_runtime: bool) -> None:
    recipe: Recipe = data.draw(recipes(CONTRACTS[oracle.release]))
    base = recipe.base(oracle.generated(recipe.contract, recipe.kind))
    want = want_for(recipe.contract, default_runtime=default_runtime)
    before = oracle.inspected(base)
    asks_another = default_runtime or "default_runtime_name" not in (recipe.part or "")
    if recipe.clashes and want.part is not None and asks_another:
        with pytest.raises(MachineConfigConflict):
            lacking(base, want)
        return
    lacks = lacking(base, want)
    once = render(base, lacks.patches)
    after = oracle.inspected(once)

    assert after["rest"] == before["rest"]
    assert after["kinds"] == before["kinds"]
    assert after["warnings"] == before["warnings"]
    assert_grown(before, after, want)
    assert_part(oracle, before, after, want)
    assert render(once, lacking(once, want).patches) == once
    assert lacking(once, want).items == ()
    assert once.count("# ") >= base.count("# ") or any("comments" in warning for warning in lacks.warnings)
    if recipe.part is None:
        patched = oracle.ask("patch", config=base, patches=list(lacks.patches))
        assert oracle.inspected(patched["config"]) == after, "Talos's own patcher makes another config"
    refused = oracle.ask("immediate", config=base, next=once)["error"]
    assert bool(refused) == bool(reboot_reasons(base, once, strategy_for(recipe.contract)))


def assert_grown(before: dict[str, Any], after: dict[str, Any], want: GpuMachineConfig) -> None:
    """What was there is there in its order, what was wanted is there once, and nothing else is."""
    old, new = before["modules"] or [], after["modules"] or []
    names = [entry["name"] for entry in new]
    assert new[: len(old)] == old
    assert len(names) == len(set(names))
    assert set(names) == {entry["name"] for entry in old} | set(want.modules)
    old, new = before["rules"] or [], after["rules"] or []
    assert new[: len(old)] == old
    assert all(same_rule(rule, new) for rule in want.udev_rules)
    assert not any(same_rule(rule, old) for rule in new[len(old) :])
    assert after["labels"] == {**(before["labels"] or {}), **want.node_labels}
    assert (after["sysctls"] or {}) == {**(before["sysctls"] or {}), **want.sysctls}


def assert_part(oracle: TalosOracle, before: dict[str, Any], after: dict[str, Any], want: GpuMachineConfig) -> None:
    """One part, the other files as before; merged as by Talos, it has what was asked for and all of theirs.

    Where no part is asked for, every file is as before.
    """
    old, new = before["files"] or [], after["files"] or []
    if want.part is None:
        assert new == old
        return
    part = [entry for entry in new if entry["path"] == PART_PATH]
    assert len(part) == 1
    blank = [{**entry, "content": ""} if entry["path"] == PART_PATH else entry for entry in new]
    assert blank[: len(old)] == [{**entry, "content": ""} if entry["path"] == PART_PATH else entry for entry in old]
    assert len(new) - len(old) <= 1
    said = oracle.ask("toml", parts=[*TALOS_PARTS, part[0]["content"]])
    assert not said["error"], said["error"]
    runtime = said["merged"]["plugins"][CRI_SECTION_2]
    assert ours_win(runtime["cdi_spec_dirs"])
    assert runtime["containerd"]["runtimes"][RUNTIME]["options"]["BinaryName"] == RUNTIME_BINARY
    if want.part and "default_runtime_name" in want.part:
        assert runtime["containerd"]["default_runtime_name"] == RUNTIME
    theirs = next((entry["content"] for entry in old if entry["path"] == PART_PATH), "")
    assert_kept(tomllib.loads(theirs), tomllib.loads(part[0]["content"]))


def assert_kept(theirs: Any, merged: Any) -> None:
    if isinstance(theirs, dict):
        for key, value in theirs.items():
            assert_kept(value, merged[key])
    elif isinstance(theirs, list):
        assert [item for item in theirs if item not in merged] == []
        assert len(merged) == len({str(item) for item in merged})
    else:
        assert merged == theirs
