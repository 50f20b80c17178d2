"""State that a released version wrote, through the real server of dynamic providers: refresh, update, delete.

tests/fixtures/state/VERSION.json is what the lab's `pulumi stack export` said of the dynamic resources; every release
adds its own.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from components.cdi_spec import VERSION
from components.machine_ready import VERSION as READY
from tests.cdi.served import INSTALLED, SOURCE, node_of, served
from tests.components.plugin import Plugin, Props
from tests.components.providing import window
from tests.talos.fake_talos import ADDRESS, Node
from tests.talos.pki import Authority, talosconfig

STATES = sorted((Path(__file__).parents[1] / "fixtures/state").glob("*.json"))
SOURCE_TYPE, SPEC_TYPE = "pulumi-python:dynamic/cdi:Source", "pulumi-python:dynamic/cdi:Spec"
CDI = pytest.mark.parametrize("kind", [SOURCE_TYPE, SPEC_TYPE])
REAL = "/usr/local/bin/nvidia-cdi-hook.real"


@dataclass
class Recorded:
    """A recorded state beside a running plugin and the node that it is about."""

    document: dict[str, Any]
    plugin: Plugin
    node: Node
    endpoint: str

    def of(self, kind: str) -> tuple[Props, Props]:
        """(inputs, outputs) of a resource, its node where ours is served."""
        return self._here(self.document["resources"][kind])

    def drifted(self) -> tuple[Props, Props]:
        """CdiSpec after a refresh by that version which found the installed spec edited."""
        return self._here(self.document["drifted"])

    def _here(self, resource: Any) -> tuple[Props, Props]:
        place = {"address": ADDRESS, "endpoint": self.endpoint}
        return {**resource["inputs"], **place}, {**resource["outputs"], **place}


@pytest.fixture(params=STATES, ids=lambda path: path.stem)
def recorded(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Recorded]:
    document = json.loads(request.param.read_text())
    installed = document["resources"][SPEC_TYPE]["outputs"]["text"]
    node = node_of(installed.replace(REAL, REAL.removesuffix(".real")))
    node.files |= {INSTALLED: installed.encode(), REAL: b""}
    authority = Authority()
    config = tmp_path / "talosconfig"
    config.write_text(talosconfig(authority, authority.client("os:admin")))
    with (
        served(authority, node) as [port],
        Plugin({"talos-nvidia-cdi:talosconfig": str(config)}, tmp_path / "log") as plugin,
    ):
        yield Recorded(document, plugin, node, f"{ADDRESS}:{port}")


def test_there_is_a_state_of_the_version_that_is() -> None:
    assert "0.1.0" in [path.stem for path in STATES]


@CDI
def test_a_refresh_of_what_did_not_move_changes_nothing(recorded: Recorded, kind: str) -> None:
    inputs, outputs = recorded.of(kind)
    after = recorded.plugin.read(outputs, inputs)
    assert after == ({**outputs, "drift": {}}, inputs)
    assert recorded.plugin.diff(after[0], inputs) == ("DIFF_NONE", [])


def test_what_a_machine_may_restart_by_is_no_change_of_what_was_seen_without_it(recorded: Recorded) -> None:
    inputs, outputs = recorded.of("pulumi-python:dynamic/talos:MachineReady")
    # another version is an update by itself
    outputs, inputs = {**outputs, "version": READY}, {**inputs, "version": READY}
    assert "reboot_policy" not in inputs
    more = {**inputs, "reboot_policy": "forbid", "windows": [window(2, 3)]}
    assert recorded.plugin.diff(outputs, more) == ("DIFF_NONE", [])


def test_an_edited_spec_is_drift_and_the_update_mends_it(recorded: Recorded) -> None:
    inputs, outputs = recorded.of(SPEC_TYPE)
    recorded.node.files[INSTALLED] = recorded.node.files[INSTALLED].replace(b".real", b"")
    seen, refreshed = recorded.plugin.read(outputs, inputs)
    assert {key for key in refreshed if key not in inputs} == {"drift_edited"}
    assert recorded.plugin.diff(seen, inputs) == ("DIFF_UNKNOWN", [])
    assert recorded.plugin.diff(seen, {**inputs, "node": "another"}) == ("DIFF_SOME", ["node"])
    assert mended(recorded.plugin.update(seen, inputs), outputs)


def mended(after: Props, before: Props) -> bool:
    """Whether an update has kept everything and makes the installer start again."""
    new = {"drift", "install_token"}
    same = {key: value for key, value in before.items() if key not in new}
    assert {key: value for key, value in after.items() if key not in new} == same
    assert after["drift"] == {}
    return bool(after["install_token"] != before["install_token"])


def test_drift_that_it_recorded_itself_is_mended_without_a_refresh(recorded: Recorded) -> None:
    inputs, outputs = recorded.drifted()
    assert outputs["drift"]
    assert recorded.plugin.diff(outputs, inputs) == ("DIFF_SOME", [])
    assert mended(recorded.plugin.update(outputs, inputs), outputs)


@CDI
def test_another_version_of_the_patching_is_an_update(recorded: Recorded, kind: str) -> None:
    inputs, outputs = recorded.of(kind)
    moved = {**inputs, "version": f"{VERSION}-another"}
    assert recorded.plugin.diff(outputs, moved) == ("DIFF_SOME", [])
    after = recorded.plugin.update(outputs, moved)
    assert after["version"] == f"{VERSION}-another"
    assert recorded.plugin.diff(after, moved) == ("DIFF_NONE", [])


def test_every_resource_is_deleted_with_node_and_credentials_gone(recorded: Recorded, tmp_path: Path) -> None:
    recorded.node.unavailable = 1000
    (tmp_path / "talosconfig").unlink()
    for kind in recorded.document["resources"]:
        recorded.plugin.delete(recorded.of(kind)[1])
    assert recorded.node.calls == []


def test_the_generated_spec_of_another_driver_reaches_the_outputs(recorded: Recorded) -> None:
    inputs, outputs = recorded.of(SPEC_TYPE)
    files = recorded.node.files
    for path in (SOURCE, "/proc/driver/nvidia/version"):
        files[path] = files[path].replace(b"535.247.01", b"535.261.03")
    seen, refreshed = recorded.plugin.read(outputs, inputs)
    assert refreshed["drift_driver"][1] == "~ driver version: 535.247.01 -> 535.261.03 in 25 elements"
    after = recorded.plugin.update(seen, {**inputs, "driver": "535.261.03"})
    assert (after["driver_version"], after["text"]) == (
        "535.261.03",
        outputs["text"].replace("535.247.01", "535.261.03"),
    )
