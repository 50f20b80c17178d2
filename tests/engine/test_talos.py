"""The talos stand-in through the engine and the unchanged SDK; no node answers here."""

from __future__ import annotations

import json
import re

import pytest

from lab.network import free_ports
from tests.engine.support import Project

PROGRAM = """
import json, pulumi, pulumiverse_talos as talos
config = pulumi.Config()
made = talos.machine.Secrets("secrets", talos_version="v1.11.1")

def camel(value):  # the SDK hands an output type to a function with Python's names; the plugin wants the schema's
    if not isinstance(value, dict):
        return value
    words = {key: key.split("_") for key in value}
    return {first + "".join(map(str.capitalize, rest)): camel(value[key]) for key, (first, *rest) in words.items()}

generated = talos.machine.get_configuration_output(
    cluster_name="lab", cluster_endpoint="https://10.5.0.1:6443", machine_type="worker", talos_version="v1.11.1",
    kubernetes_version="1.33.1", machine_secrets=made.machine_secrets.apply(camel))
client = talos.client.get_configuration_output(
    cluster_name="lab", client_configuration=made.client_configuration.apply(camel),
    endpoints=["10.5.0.2"], nodes=["10.5.0.2"])
pulumi.export("configuration", generated.machine_configuration)
pulumi.export("talosconfig", client.talos_config)
"""

APPLY = """
import json, pulumi, pulumiverse_talos as talos
config = pulumi.Config()
who = {key: "bm9uZQ==" for key in ("ca_certificate", "client_certificate", "client_key")}
node = talos.machine.ConfigurationApply("node", node="127.0.0.1", endpoint="127.0.0.1:" + config.require("port"),
    client_configuration_wo=who if not config.get_bool("kept") else None,
    client_configuration=who if config.get_bool("kept") else None,
    machine_configuration_input=config.require("input"),
    config_patches=[config.get("patch") or "machine: {nodeLabels: {a: b}}"],
    apply_mode=config.get("mode"), timeouts={"create": "1s"})
node.machine_configuration.apply(lambda text: print("RENDERED", text))
pulumi.Output.all(node.resolved_apply_mode, node.machine_configuration_hash).apply(lambda both: print("MODE", *both))
"""

INPUT = "version: v1alpha1\\nmachine:\\n  type: worker\\n"


@pytest.fixture
def apply(project: Project) -> Project:
    text = INPUT.encode().decode("unicode_escape")
    return project.write(APPLY).config(port=str(free_ports(1)[0]), input=text)


def test_secrets_and_both_configurations(project: Project) -> None:
    ran = project.write(PROGRAM).up().ok()
    assert "stand-in for pulumi-resource-talos" in ran.out
    outputs = json.loads(project.run("stack", "output", "--json", "--show-secrets", "--stack", "test").ok().out)
    assert "type: worker" in outputs["configuration"]
    assert "context: lab" in outputs["talosconfig"] and "10.5.0.2" in outputs["talosconfig"]
    token = outputs["configuration"].partition("token: ")[2].partition("\n")[0]
    kept = json.dumps(project.resources())
    assert token and token not in kept
    assert [entry["id"] for entry in project.resources() if entry["type"].endswith(":Secrets")] == ["machine_secrets"]
    assert project.steps() == {"secrets": "same"}


def test_a_preview_renders_the_patches_without_the_node(apply: Project) -> None:
    ran = apply.preview().ok()
    assert re.search(r"nodeLabels:\n\s+a: b", ran.out), ran.out
    assert re.search(r"MODE auto [0-9a-f]{64}", ran.out), ran.out


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("patch", "machine: {nodeLabelz: {a: b}}", "unknown keys found during decoding"),
        ("input", "version: v1alpha1\nmachine: [", "error applying config patches"),
        ("mode", "try", "apply_mode value must be one of"),
    ],
)
def test_a_bad_input_fails_the_preview(apply: Project, key: str, value: str, said: str) -> None:
    ran = apply.config(**{key: value}).preview()
    assert ran.status != 0
    assert said in ran.out


def test_an_unreachable_node_is_tried_until_the_timeout(apply: Project) -> None:
    ran = apply.up()
    assert ran.status != 0
    assert "error applying configuration (tried for 1s)" in ran.out
    assert ran.seconds >= 1


def test_what_it_does_not_have_is_refused_by_name(project: Project) -> None:
    program = (
        "import pulumiverse_talos as talos\ntalos.machine.Bootstrap('x', node='127.0.0.1', client_configuration={})\n"
    )
    ran = project.write(program).preview()
    assert ran.status != 0
    assert "talos:machine/bootstrap:Bootstrap is not part of this stand-in" in ran.out
