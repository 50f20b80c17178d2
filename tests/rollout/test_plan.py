"""The plan: what it shows, what its hash covers, what makes an approval void, what keeps it from being approved."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from talos_gpu.rollout import planner
from talos_gpu.rollout.errors import NotApproved, NotPlanned, RolloutInvalid
from talos_gpu.rollout.load import parse
from talos_gpu.rollout.plan import Change, Plan, StackPlan, Versions
from talos_gpu.rollout.reboots import reboot_of
from talos_gpu.rollout.report import plan_markdown
from talos_gpu.rollout.store import Store
from talos_gpu.rollout.versions import Source, state_digest
from talos_gpu.settings import Settings
from talos_gpu.settings import parse as parse_settings

APPLY = "talos:machine/configurationApply:ConfigurationApply"
FILE = """\
fleet: home
stacks: [{glob: "*"}]
waves: [{count: 1, soak_s: 4500, name: canary}, {count: 2, max_parallel: 2}]
clusters: {living: [talos05]}
holds: [talos07]
gates: [{name: encodes, command: [talos-gpu, verify]}]
"""
CHANGES = (
    Change(op="update", type=APPLY, name="talos05-config", properties=("machineConfigurationInput",)),
    Change(op="replace", type="kubernetes:batch/v1:Job", name="nvidia-cdi-generator-talos05"),
    Change(op="update", type="pulumi-python:dynamic/cdi:Spec", name="talos05-spec", properties=("text", "digest")),
    Change(op="update", type="kubernetes:apps/v1:Deployment", name="tdarr-node-gpu-talos05"),
)
LEFT = Change(op="update", type="pulumi-python:dynamic/talos:MachineReady", name="talos05-ready")
"""A restart that an update before has left shows as a step of MachineReady alone."""


def settings(**machine: str) -> Settings:
    gpu = {"model": "Quadro P2000", "driver": "535.247.01", "memory_mib": 5120}
    node = {"name": "talos05", "address": "192.168.1.194", "talos": "v1.11.1", "gpu": gpu}
    return parse_settings({"node": node, "machine": {"base": "worker.yaml", **machine}})


def made(text: str = FILE, *, clean: bool = True, held: Sequence[str] = (), **of_talos05: Any) -> Plan:
    def inspect(stack: str, cluster: str) -> StackPlan:
        more = of_talos05 if stack == "talos05" else {}
        return StackPlan(
            name=stack, cluster=cluster, config=f"config of {stack}", state="s", **{"reboot": "no", **more}
        )

    names = ["talos05", "talos06", "talos07"]
    source = Source("c" * 40, "f" * 64, clean)
    return planner.make(
        parse(text), Path("rollout.yaml"), names, source, rollout="r" * 64, inspect=inspect, held=held, now=lambda: 1.0
    )


def other(plan: Plan, **changes: Any) -> Plan:
    return Plan(**{name: getattr(plan, name) for name in Plan.model_fields} | changes)


def test_it_lists_reboots_replacements_and_cdi_changes_by_stack() -> None:
    plan = made(reboot="possible", changes=CHANGES)
    assert (
        plan_markdown(plan)
        == f"""\
# Plan {plan.hash[:12]}: home

Commit cccccccccccc.


## canary: 1 stack, 1 at a time, 4500 s soak

| stack | cluster | reboot | replaced | CDI | changes |
| --- | --- | --- | --- | --- | --- |
| talos05 | living | possible | nvidia-cdi-generator-talos05 | replace nvidia-cdi-generator-talos05, update \
talos05-spec | update talos05-config, replace nvidia-cdi-generator-talos05, update talos05-spec, update \
tdarr-node-gpu-talos05 |

## wave 2: 2 stacks, 2 at a time

| stack | cluster | reboot | replaced | CDI | changes |
| --- | --- | --- | --- | --- | --- |
| talos06 | default | no | - | - | none |
| talos07 | default | no | - | - | none |

On hold, not started: talos07.

next: talos-gpu rollout approve {plan.hash[:12]}"""
    )


@pytest.mark.parametrize(
    ("changes", "known", "reboot"),
    [
        ((), settings(), "no"),
        (CHANGES[1:], settings(), "no"),
        ((LEFT,), settings(), "possible"),
        ((LEFT,), settings(reboot="forbid"), "forbidden"),
        (CHANGES, None, "unknown"),
        (CHANGES, settings(), "possible"),
        (CHANGES, settings(reboot="forbid"), "forbidden"),
        (CHANGES, settings(apply_mode="staged"), "no"),
        (CHANGES, settings(apply_mode="no_reboot"), "no"),
    ],
)
def test_whether_a_stack_may_reboot(changes: tuple[Change, ...], known: Settings | None, reboot: str) -> None:
    assert reboot_of(changes, known) == reboot


def test_the_hash_covers_everything_but_the_moment_and_the_commits_name() -> None:
    plan = made()
    assert plan.hash == other(plan, made_at=2.0, commit="d" * 40).hash, "no pull request's hash can be approved"
    others = [
        other(plan, source="e" * 64),
        other(plan, max_unavailable=2),
        made(FILE.replace("4500", "4501")),
        made(FILE.replace("living", "cellar")),
        made(changes=CHANGES),
        made(faults=("reachable: no connection",)),
    ]
    assert len({plan.hash, *(other.hash for other in others)}) == 1 + len(others)


def test_what_has_moved_is_told_completely() -> None:
    plan = made()
    configs = {name: stack.config for name, stack in plan.stacks.items()}
    states = {name: stack.state for name, stack in plan.stacks.items()}
    same = Versions(commit=plan.commit, source=plan.source, rollout=plan.rollout, configs=configs, states=states)
    assert plan.differences(same) == []
    merged = same.model_copy(update={"commit": "d" * 40})
    assert plan.differences(merged) == [], "the same files, under another commit"
    moved = Versions(
        commit="d" * 40, source="e" * 64, rollout="x", configs=configs | {"talos06": "y"}, states={"talos07": "z"}
    )
    assert plan.differences(moved) == [
        "commit: cccccccccccc was planned, dddddddddddd is there",
        "rollout.yaml changed",
        "config of talos06 changed",
        "state of talos07 changed: somebody updated it",
    ]
    edited = same.model_copy(update={"source": "e" * 64})
    assert plan.differences(edited) == ["files of the project changed without a commit"]


def test_a_state_is_its_resources() -> None:
    resource = {"urn": "u", "type": "t", "inputs": {"a": 1}, "outputs": {}}
    one = state_digest({"manifest": {"time": "now"}, "resources": [{**resource, "modified": "now"}]})
    assert one == state_digest({"manifest": {"time": "later"}, "resources": [{**resource, "modified": "later"}]})
    assert one != state_digest({"resources": [{**resource, "inputs": {"a": 2}}]})
    assert one != state_digest({"resources": [resource], "pending_operations": [{"type": "creating"}]})


def test_a_plan_with_faults_cannot_be_approved(tmp_path: Path) -> None:
    store = Store.of(tmp_path, "project", "home")
    plan = made(faults=("reachable: no connection", "release: another"))
    store.save_plan(plan)
    with pytest.raises(NotPlanned, match=r"talos05: reachable: no connection\n  talos05: release: another"):
        store.approve(store.plan(), "me")
    assert "## Faults: this plan cannot be approved\n\n- talos05: reachable: no connection" in plan_markdown(plan)
    with pytest.raises(NotApproved):
        store.require_approval(plan)


def test_an_approval_is_of_one_plan(tmp_path: Path) -> None:
    store = Store.of(tmp_path, "project", "home")
    store.approve(made(), "me")
    assert store.require_approval(made()).by == "me"
    with pytest.raises(NotApproved):
        store.require_approval(made(changes=CHANGES))


def test_what_is_worth_a_warning() -> None:
    assert made(clean=False).warnings == ("the project has uncommitted changes: what is rolled out is in no commit",)
    text = FILE.replace("gates: [{name: encodes, command: [talos-gpu, verify]}]", "gates: []")
    assert made(text).warnings == ("there are no gates: a stack counts as done as soon as its update succeeded",)


def test_faults_of_the_file_against_the_stacks_are_told_at_once() -> None:
    text = """\
fleet: home
stacks: [{name: talos5}, {name: talos06}]
waves: [{stacks: [talos06]}, {stacks: [nobody]}]
gates: [{name: encodes}]
clusters: {home: [talso*, talos06]}
holds: [talso05]
"""
    with pytest.raises(RolloutInvalid) as raised:
        made(text)
    paths = ["stacks[0]", "waves[1].stacks", "clusters.home", "holds", "gates[0].name"]
    assert [fault.path for fault in raised.value.faults] == paths
    assert str(raised.value.faults[3]) == "holds: 'talso05' fits no stack\n    remedy: did you mean 'talos05'?"


@pytest.mark.parametrize(("by_file", "by_hand"), [(["talos05"], []), ([], ["talos0[5]"])])
def test_a_stack_on_hold_blocks_nothing(tmp_path: Path, by_file: list[str], by_hand: list[str]) -> None:
    text = FILE.replace("holds: [talos07]", f"holds: {by_file}")
    plan = made(text, held=by_hand, faults=("reachable: no connection\nto it",))
    assert plan.faults == []
    assert plan.warnings == ("talos05 is on hold and has a fault: reachable: no connection to it",)
    store = Store.of(tmp_path, "project", "home")
    store.approve(plan, "me")
    assert store.held(plan)("talos05"), "released while it runs, a stack with faults would be updated"
    assert not store.held(made(text, held=by_hand))("talos05") or by_file
    assert made(text, held=["talos06"], faults=("x",)).faults == ([] if by_file else ["talos05: x"])
