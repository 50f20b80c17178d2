"""The providers in the real server of dynamic providers: threads, connections, and secrets that must reach nobody."""

from __future__ import annotations

import base64
import itertools
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
import yaml
from pulumi.dynamic.dynamic import serialize_provider

from components.cdi_source import CdiSourceProvider
from components.cdi_spec import CdiSpecProvider
from components.machine_state import MachineStateProvider
from tests.cdi.served import INSTALLED, SOURCE, node_of, served
from tests.components.plugin import Plugin, Props
from tests.talos.fake_talos import ADDRESS, Node
from tests.talos.pki import Authority, Pair, talosconfig

NODES = 4
REAL = "/usr/local/bin/nvidia-cdi-hook.real"
SPEC, SOURCE_OF, STATE = (serialize_provider(p()) for p in (CdiSpecProvider, CdiSourceProvider, MachineStateProvider))
BASE = """\
version: v1alpha1
machine: {type: worker, token: canary-machine-token, ca: {crt: "", key: canary-machine-key}}
cluster: {id: canary-cluster-id, secret: canary-cluster-secret, token: canary-cluster-token}
"""


@dataclass
class Fleet:
    """Nodes, each with a driver of its own, and the plugin that serves their specs."""

    nodes: list[Node]
    ports: list[int]
    plugin: Plugin
    folder: Path
    client: Pair

    def inputs(self, index: int, provider: str = SPEC, **more: str) -> Props:
        about = {"node": f"n{index}", "address": ADDRESS, "endpoint": f"{ADDRESS}:{self.ports[index]}"}
        wanted = {"release": "v1.11.1", "hook": "auto", "token": "t", "version": "1"}
        made = {"driver": driver(index), "generation": "g", "regenerate": "never", "__provider": provider}
        return {**about, **wanted, **made, **more}

    def secrets(self) -> set[str]:
        """What must be seen nowhere: of both files, as it lies there and inside its base64."""
        config = yaml.safe_load((self.folder / "talosconfig").read_text())
        context = config["contexts"][config["context"]]
        lines = [line for pem in (self.client.key, self.client.crt) for line in pem.decode().splitlines()]
        found = {context["crt"], context["key"], *(line for line in lines if not line.startswith("-----"))}
        return found | {word for word in BASE.replace("}", " ").replace(",", " ").split() if word.startswith("canary")}


def driver(index: int) -> str:
    return f"535.247.{10 + index}"


@pytest.fixture
def fleet(fixtures: Path, tmp_path: Path) -> Iterator[Fleet]:
    text = (fixtures / "cdi/p2000-535/toolkit-1.17.8.yaml").read_text()
    nodes = [node_of(text.replace("535.247.01", driver(index)), driver(index)) for index in range(NODES)]
    for node in nodes:
        node.files[REAL] = b""
    authority = Authority()
    client = authority.client("os:admin")
    (tmp_path / "talosconfig").write_text(talosconfig(authority, client))
    (tmp_path / "base.yaml").write_text(BASE)
    config = {
        "talos-nvidia-cdi:talosconfig": str(tmp_path / "talosconfig"),
        "talos-nvidia-cdi:machine": json.dumps({"base": str(tmp_path / "base.yaml")}),
        "talos-nvidia-cdi:other": "canary-of-the-configuration",
    }
    with served(authority, *nodes) as ports, Plugin(config, tmp_path / "log") as plugin:
        yield Fleet(nodes, ports, plugin, tmp_path, client)


def failure(work: Callable[[], object]) -> str:
    with pytest.raises(grpc.RpcError) as caught:
        work()
    return str(caught.value)


def test_specs_of_several_nodes_at_once_each_get_their_own(fleet: Fleet) -> None:
    fleet.nodes[3].files[SOURCE] = b"foo: 1\n"
    bad = fleet.inputs(3)

    def once(index: int) -> tuple[str, Any]:
        if index == 3:
            return "failed", failure(lambda: fleet.plugin.create(bad))
        inputs = fleet.inputs(index)
        outputs = fleet.plugin.create(inputs)
        seen, refreshed = fleet.plugin.read(outputs, inputs)
        assert refreshed.keys() - inputs.keys() == {"drift_removed"}
        return "made", fleet.plugin.update(seen, inputs)["driver_version"]

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(once, [index for _ in range(6) for index in range(NODES)]))
    for index, (how, what) in zip(itertools.cycle(range(NODES)), answers, strict=False):
        if index == 3:
            assert how == "failed"
            assert "the spec on n3 cannot be used:" in what
            assert 'File "' not in what, "a failure of ours came with a traceback"
        else:
            assert (how, what) == ("made", driver(index))


def test_every_connection_is_closed(fleet: Fleet) -> None:
    inputs = fleet.inputs(0)
    outputs = fleet.plugin.create(inputs)
    fleet.plugin.read(outputs, inputs)
    before = fleet.plugin.descriptors()
    for _ in range(10):
        fleet.plugin.read(outputs, inputs)
        failure(lambda: fleet.plugin.create({**inputs, "driver": "1.2.3"}))
    assert fleet.plugin.descriptors() <= before


def test_a_defect_keeps_its_traceback(fleet: Fleet) -> None:
    failure(lambda: fleet.plugin.create({**fleet.inputs(0), "driver": "1.2.3"}))
    incomplete = {key: value for key, value in fleet.inputs(0).items() if key != "endpoint"}
    assert 'File "' in failure(lambda: fleet.plugin.create(incomplete))


def test_no_secret_is_in_state_error_or_log(fleet: Fleet) -> None:
    plugin, inputs, source = fleet.plugin, fleet.inputs(0), fleet.inputs(0, SOURCE_OF)
    told: list[str] = []

    def tell(*answers: object) -> None:
        told.extend(map(str, answers))

    state = {"config_sha256": "0", "method": "spec", "default_runtime": "", "apply_mode": "auto"}
    machine = fleet.inputs(0, STATE, reboot_policy="allow", **state)
    made, looked = plugin.create(inputs), plugin.create(source)
    tell(made, looked, plugin.read(made, inputs), plugin.read(looked, source))
    fleet.nodes[0].files[INSTALLED] = b"foo: 1\n"
    tell(plugin.read(made, inputs), plugin.diff(made, {**inputs, "hook": "none"}), plugin.update(made, inputs))
    tell(failure(lambda: plugin.create(machine)))
    (fleet.folder / "base.yaml").write_text(BASE + "machine: canary-machine-token\n  canary-cluster-secret\n")
    tell(failure(lambda: plugin.create(machine)))
    fleet.nodes[0].in_band = "an error of the node"
    tell(failure(lambda: plugin.read(made, inputs)))
    fleet.nodes[0].in_band = ""
    tell(failure(lambda: plugin.create({**inputs, "endpoint": f"{ADDRESS}:1"})))
    stranger = Authority()
    (fleet.folder / "talosconfig").write_text(talosconfig(stranger, fleet.client))
    tell(failure(lambda: plugin.read(made, inputs)))
    cut = talosconfig(stranger, fleet.client).replace("contexts:", "contexts: [", 1)
    (fleet.folder / "talosconfig").write_text(cut)
    tell(failure(lambda: plugin.read(made, inputs)))
    (fleet.folder / "talosconfig").write_text(talosconfig(stranger, fleet.client))
    secrets = fleet.secrets() | {"canary-of-the-configuration"}
    tell(plugin.end())
    assert len(secrets) > 10
    shown = [(secret[:6], text[:300]) for secret in secrets for text in told if secret in text or _inside(secret, text)]
    assert shown == []


def _inside(secret: str, text: str) -> bool:
    return base64.b64encode(secret.encode()).decode()[:24] in text
