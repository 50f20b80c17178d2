"""What the dynamic providers have in common: how they are stored, and what makes them run."""

from __future__ import annotations

import base64
import sys
import traceback
from pathlib import Path
from typing import Any

import dill
import pytest
from pulumi.dynamic.dynamic import serialize_provider
from pulumi.runtime.rpc import UNKNOWN

from components.access import Access
from components.adoption import RetiredProvider, TakenOverProvider
from components.cdi_source import CdiSourceProvider
from components.cdi_spec import CdiSpecProvider
from components.dynamic import NodeProvider, run, whole
from components.machine_ready import MachineReadyProvider
from components.machine_state import MachineStateProvider
from components.verified import VerifiedProvider
from talos_gpu.errors import TalosGpuError
from tests.talos.asking import AUTHORITY
from tests.talos.fake_talos import ADDRESS
from tests.talos.pki import talosconfig

PROVIDERS = [
    MachineStateProvider,
    MachineReadyProvider,
    CdiSourceProvider,
    CdiSpecProvider,
    TakenOverProvider,
    RetiredProvider,
    VerifiedProvider,
]
providers = pytest.mark.parametrize("provider", PROVIDERS)


@providers
def test_the_stored_form_is_a_reference_and_nothing_else(provider: type[NodeProvider]) -> None:
    stored = serialize_provider(provider())
    assert stored == serialize_provider(provider())
    assert len(base64.b64decode(stored)) < 100
    found = dill.loads(base64.b64decode(stored))
    assert (type(found), vars(found)) == (provider, {})
    assert provider.serialize_as_secret_always is False


@providers
def test_a_moved_input_is_an_update_and_another_node_a_replacement(provider: type[NodeProvider]) -> None:
    olds: dict[str, Any] = dict.fromkeys(provider.moves, "same")
    assert provider().diff("id", olds, olds).changes is False
    for key in provider.moves:
        for value in ("moved", UNKNOWN):
            diff = provider().diff("id", olds, {**olds, key: value})
            assert (diff.changes, diff.replaces) == (True, ["node"] if key == "node" else [])


@providers
def test_drift_is_an_update(provider: type[NodeProvider]) -> None:
    olds: dict[str, Any] = dict.fromkeys(provider.moves, "same")
    news = {**olds, "not one of moves": "moved"}
    assert provider().diff("id", {**olds, "drift": ["a reason"]}, news).changes is True
    assert provider().diff("id", {**olds, "drift": []}, news).changes is False


@providers
def test_drift_that_is_an_input_too_is_the_engines_to_compare(provider: type[NodeProvider]) -> None:
    olds: dict[str, Any] = {**dict.fromkeys(provider.moves, "same"), "drift": {"drift_edited": ["a line"]}}
    assert provider().diff("id", olds, olds).changes is None
    assert provider().diff("id", {**olds, "drift": {}}, olds).changes is False
    assert provider().diff("id", olds, {**olds, "node": "another"}).replaces == ["node"]


@providers
def test_delete_needs_neither_node_nor_credentials(
    provider: type[NodeProvider], capsys: pytest.CaptureFixture[str]
) -> None:
    provider().delete("id", {"node": "talos05", "method": "spec"})
    said = capsys.readouterr().out
    assert said == (
        "on talos05 stay the applied machine config, the generated spec /var/cdi/nvidia.yaml, "
        "until the next boot the installed spec /var/run/cdi/nvidia.yaml\n"
        if provider is MachineStateProvider
        else ""
    )


def test_numbers_are_whole_again_and_none_is_gone() -> None:
    assert whole({"a": 3.0, "b": None, "c": [1.5, {"d": None}]}) == {"a": 3, "c": [1.5, {}]}


def test_a_failure_of_ours_is_told_alone_and_a_defect_with_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "tracebacklimit", None, raising=False)

    async def fails(error: Exception) -> None:
        raise error

    def told(error: Exception) -> str:
        try:
            run(fails(error))
        except Exception:
            return traceback.format_exc()
        raise AssertionError("nothing was raised")

    assert told(TalosGpuError("the disk is full", remedy="empty it")) == (
        "talos_gpu.errors.TalosGpuError: the disk is full\n  remedy: empty it\n"
    )
    defect = told(KeyError("x"))
    assert defect.startswith("components.dynamic.ProviderDefect: Traceback (most recent call last):\n")
    assert "in fails\n    raise error\nKeyError: 'x'\n" in defect
    assert "Traceback" not in told(TalosGpuError("again", remedy="again"))


def test_a_refresh_of_a_node_that_cannot_be_read_has_one_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "tracebacklimit", None, raising=False)  # a provider's process sets it for good
    (tmp_path / "talosconfig").write_text(talosconfig(AUTHORITY, AUTHORITY.client("os:admin")))
    props = {"node": "lab-1", "address": ADDRESS, "endpoint": f"{ADDRESS}:1", "regenerate": "never", "facts": {}}
    told = []
    for kind in (MachineStateProvider, MachineReadyProvider, CdiSourceProvider, CdiSpecProvider):
        provider = kind()
        provider._access = Access(str(tmp_path / "talosconfig"), "", "")
        with pytest.raises(TalosGpuError) as raised:
            provider.read("id", props)
        told.append(str(raised.value))
    [first, *others] = told
    message, _, remedy = first.partition("\n  remedy: ")
    assert remedy
    for other in others:
        assert message.partition(": ")[2] in other  # each names its own call before that
        assert "; what to do is told by MachineState" in other
    assert not [other for other in others if "remedy:" in other]
