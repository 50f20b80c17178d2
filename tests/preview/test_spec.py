"""CDI differences: known, predicted, unknown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from talos_gpu import cdi
from talos_gpu.preview import spec
from talos_gpu.preview.events import UNKNOWN, Said, Step
from talos_gpu.settings import Settings
from talos_gpu.settings.stack_file import stack_settings

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def source(fixtures: Path) -> str:
    return (fixtures / "cdi/p2000-535/toolkit-1.17.8.yaml").read_text()


@pytest.fixture(scope="session")
def installed(source: str) -> str:
    return cdi.patch(source, cdi.Strategy.REAL).text


def settings(**changes: Any) -> Settings:
    found = stack_settings(ROOT / "Pulumi.talos05.yaml")
    return found.model_copy(update={"cdi": found.cdi.model_copy(update=changes)})


def said(old: str | None, new: str | None, strategy: str = "real") -> Said:
    """What an engine says of CdiSpec and the installer's ConfigMap."""

    def payload(text: str | None) -> dict[str, Any]:
        return {} if text is None else {"inputs": {"data": {spec.PAYLOAD: text}}, "custom": True}

    outputs = {"outputs": {"strategy": strategy, "text": old}} if old else {}
    return Said(
        steps=[
            Step("update", "pulumi-python:dynamic/cdi:Spec", "x-cdi-spec", outputs, {}, ()),
            Step("replace", "kubernetes:core/v1:ConfigMap", "x-payload", payload(old), payload(new), ()),
        ]
    )


def test_nothing_changes_where_neither_spec_nor_payload_does() -> None:
    assert spec.compared(Said(), settings()).known == "same"
    assert spec.compared(Said(), settings(method="jit")).known == "none"


def test_a_known_spec_is_compared_by_meaning(installed: str) -> None:
    newer = installed.replace("535.247.01", "535.261.03")
    found = spec.compared(said(installed, newer), settings())
    assert found.known == "known"
    assert [(change.path, change.old, change.new) for change in found.changes] == [
        ("driver version", "535.247.01", "535.261.03")
    ]
    assert spec.compared(said(installed, installed), settings()).known == "same"


def test_an_unknown_spec_is_unknown(installed: str) -> None:
    found = spec.compared(said(installed, UNKNOWN), settings())
    assert (found.known, found.changes) == ("unknown", ())
    assert "generated anew on the node" in found.note
    assert "first spec" in spec.compared(said(None, UNKNOWN), settings()).note


def test_other_hooks_are_predicted(installed: str) -> None:
    found = spec.compared(said(installed, UNKNOWN), settings(hook="nvidia-ctk"))
    assert found.known == "predicted"
    hooks = {change.path for change in found.changes}
    assert all("hook" in path for path in hooks)
    paths = {(change.old, change.new) for change in found.changes if change.path.endswith(": path")}
    assert paths == {("/usr/local/bin/nvidia-cdi-hook.real", "/usr/local/bin/nvidia-ctk")}
    assert len([path for path in hooks if path.endswith(": path")]) == len(list(cdi.parse(installed).hooks()))


def test_predicted_hooks_are_those_that_a_real_generator_writes(fixtures: Path) -> None:
    folder = fixtures / "cdi/h100-580"
    default = cdi.parse((folder / "toolkit-1.17.8.yaml").read_text(), library=cdi.Library.V1_1_0)
    asked = cdi.parse((folder / "toolkit-1.17.8-hook-nvidia-ctk.yaml").read_text(), library=cdi.Library.V1_1_0)
    predicted = spec.with_hooks(default, cdi.Strategy.NVIDIA_CTK)
    assert cdi.diff_of(default, asked)
    assert cdi.diff_of(predicted, asked) == []
