"""Reading an engine's events."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from talos_gpu.preview.events import said_by
from talos_gpu.preview.judge import drift_of
from talos_gpu.preview.make import STAND_IN, stand_ins
from talos_gpu.rollout.told import events_in


def metadata(op: str, kind: str, name: str, **more: Any) -> dict[str, Any]:
    state = {"custom": True, "inputs": {}, "outputs": {}}
    return {"op": op, "type": kind, "urn": f"urn:pulumi:a::b::{kind}::{name}", "old": state, "new": state, **more}


def test_each_resource_once_components_and_providers_left_out(tmp_path: Path) -> None:
    job = "kubernetes:batch/v1:Job"
    component: dict[str, Any] = {"inputs": {}, "outputs": {}}
    given = [
        metadata("create", "talos-nvidia-cdi:components:GpuNode", "a", old=component, new=component),
        metadata("update", "pulumi:providers:kubernetes", "p"),
        metadata("same", job, "same"),
        metadata("delete-replaced", job, "job"),
        metadata("replace", job, "job", detailedDiff={"spec.template": {}, "a": {}}),
        metadata("create-replacement", job, "job"),
        metadata(
            "delete", "kubernetes:node.k8s.io/v1:RuntimeClass", "class", old={"custom": True, "retainOnDelete": True}
        ),
    ]
    log = tmp_path / "events"
    torn = '{"resourcePreEvent": {"meta'
    log.write_text("".join(json.dumps({"resourcePreEvent": {"metadata": item}}) + "\n" for item in given) + torn)
    said = said_by(events_in(log))
    assert [(step.op, step.name, step.paths) for step in said.steps] == [
        ("replace", "job", ("a", "spec.template")),
        ("delete", "class", ()),
    ]
    assert said.steps[1].change.properties == ("kept in the cluster (retainOnDelete)",)


def test_policies_warnings_and_drift(tmp_path: Path) -> None:
    refreshed = metadata("refresh", "pulumi-python:dynamic/cdi:Source", "source")
    refreshed["new"] = {"custom": True, "outputs": {"drift": ["gone"]}}
    violation = {
        "policyName": "job-limits",
        "enforcementLevel": "mandatory",
        "resourceUrn": "urn:pulumi:a::b::c::job",
        "message": "no\n deadline",
    }
    events = [
        {"resOutputsEvent": {"metadata": refreshed}},
        {"resOutputsEvent": {"metadata": metadata("refresh", "kubernetes:core/v1:ConfigMap", "same")}},
        {"policyEvent": violation},
        {"diagnosticEvent": {"severity": "warning", "message": "x" * 500}},
        {"diagnosticEvent": {"severity": "info", "message": "y"}},
    ]
    log = tmp_path / "events"
    log.write_text("".join(json.dumps(event) + "\n" for event in events))
    said = said_by(events_in(log))
    assert [step.name for step in said.refreshed] == ["source"]
    assert [(found.policy, found.level, found.resource, found.message) for found in said.policy] == [
        ("job-limits", "mandatory", "job", "no deadline")
    ]
    assert said.warnings == ["x" * 400 + "... (500 characters)"]
    assert said_by(events_in(tmp_path / "none")).steps == []


def test_drift_is_told_in_the_providers_own_words(tmp_path: Path) -> None:
    source = metadata("refresh", "pulumi-python:dynamic/talos:MachineState", "state")
    source["new"] = {"custom": True, "outputs": {"drift": ["a label is gone"]}}
    spec = metadata("refresh", "pulumi-python:dynamic/cdi:Spec", "spec")
    spec["new"] = {"custom": True, "outputs": {"drift": {"drift_edited": ["head:", "~ hook"], "drift_hook": ["head:"]}}}
    other = metadata("refresh", "kubernetes:apps/v1:Deployment", "worker", detailedDiff={"spec.replicas": {}})
    other["new"] = {"custom": True, "outputs": {"spec": {"replicas": 2}}}
    log = tmp_path / "events"
    events = ({"resOutputsEvent": {"metadata": item}} for item in (source, spec, other))
    log.write_text("".join(json.dumps(event) + "\n" for event in events))
    assert [(found.name, found.found) for found in map(drift_of, said_by(events_in(log)).refreshed)] == [
        ("state", ("a label is gone",)),
        ("spec", ("head:", "~ hook")),
        ("worker", ("spec.replicas differs",)),
    ]


def test_stand_ins_are_found_by_their_mark(tmp_path: Path) -> None:
    for name, mark in (("resource-kubernetes-v4.34.2", True), ("resource-talos-v0.8.1", False)):
        folder = tmp_path / "plugins" / name
        folder.mkdir(parents=True)
        if mark:
            (folder / STAND_IN).touch()
    assert stand_ins({"PULUMI_HOME": str(tmp_path)}) == ("kubernetes v4.34.2",)
    assert stand_ins({"PULUMI_HOME": str(tmp_path / "none")}) == ()


def test_the_mark_is_the_labs_own() -> None:
    from lab.engine.install import MARK

    assert STAND_IN == MARK
