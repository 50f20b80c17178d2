"""The export to the Pulumi Kubernetes Operator: as its schema says, in the same order, within the same limits."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from talos_gpu.rollout.errors import RolloutInvalid
from talos_gpu.rollout.export import Target, lost, stack_objects
from talos_gpu.rollout.load import parse
from talos_gpu.rollout.model import RolloutFile, Selector, WaveRule
from talos_gpu.rollout.waves import clusters_of, divide

SCHEMA: dict[str, Any] = yaml.safe_load((Path(__file__).parents[1] / "fixtures/operator/stack-v1.yaml").read_text())
TARGET = Target(
    project="talos-nvidia-cdi",
    repository="https://git.example/talos.git",
    commit="c" * 40,
    folder="gpu",
    namespace="pulumi",
    organization="organization",
    backend="s3://state",
    service_account="rollout",
    git_secret="git",
    environment={"PULUMI_CONFIG_PASSPHRASE": ("pulumi", "passphrase")},
)
FILE = """\
fleet: home
stacks: [{glob: "*"}]
waves: [{count: 1, name: canary}, {count: 3}]
clusters: {one: [talos05, talos06], two: [talos07, talos08]}
max_parallel: 2
lock_wait_s: 60
refresh: true
holds: [talos09]
"""
AWAITED = (
    "machine-ready, services, node-ready, workload-ready: "
    "an update that touches it waits for what they ask, and fails without; "
    "nobody looks at what it leaves alone, or afterwards"
)
PROVEN = (
    "encode: the update of talos06 proves it itself (`verify: true`), "
    "by an update that changes what brings the GPU; else not; one that meets a transcode succeeds unproven"
)
NAMES = ["talos05", "talos06", "talos07", "talos08", "talos09"]


def waits(objects: list[dict[str, Any]]) -> dict[str, list[str]]:
    """Stack -> the stacks that it waits for."""
    names = {item["metadata"]["name"]: item["spec"]["stack"].rpartition("/")[2] for item in objects}
    return {
        names[item["metadata"]["name"]]: [names[p["name"]] for p in item["spec"].get("prerequisites", ())]
        for item in objects
    }


def test_an_object_in_full() -> None:
    objects = stack_objects(parse(FILE), "rollout.yaml", NAMES, TARGET)
    assert (
        yaml.safe_dump(objects[1], sort_keys=False)
        == """\
apiVersion: pulumi.com/v1
kind: Stack
metadata:
  name: home-talos06
  namespace: pulumi
  labels:
    rollout.talos-nvidia-cdi/fleet: home
    rollout.talos-nvidia-cdi/wave: wave-2
spec:
  stack: organization/talos-nvidia-cdi/talos06
  backend: s3://state
  projectRepo: https://git.example/talos.git
  repoDir: gpu
  commit: cccccccccccccccccccccccccccccccccccccccc
  gitAuth:
    accessToken:
      type: Secret
      secret:
        name: git
        key: accessToken
  envRefs:
    PULUMI_CONFIG_PASSPHRASE:
      type: Secret
      secret:
        name: pulumi
        key: passphrase
  serviceAccountName: rollout
  refresh: true
  retryOnUpdateConflict: true
  prerequisites:
  - name: home-talos05
"""
    )


def test_who_waits_for_whom() -> None:
    assert waits(stack_objects(parse(FILE), "rollout.yaml", NAMES, TARGET)) == {
        "talos05": [],
        "talos06": ["talos05"],
        "talos07": ["talos05"],
        "talos08": ["talos06", "talos07"],
    }


def test_every_object_is_as_the_operators_schema_says() -> None:
    plain = Target(project="p", repository="r", commit="c")
    for target in (TARGET, plain):
        for item in stack_objects(parse(FILE), "rollout.yaml", NAMES, target):
            assert faults(item) == []


def test_the_check_against_the_schema_sees_what_is_wrong() -> None:
    [item, *_] = stack_objects(parse(FILE), "rollout.yaml", NAMES, TARGET)
    spec = item["spec"]
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"commmit": "c"}, "spec.commmit: unknown"),
        ({"secrets": {}}, "spec.secrets: not described here"),
        ({"refresh": "yes"}, "spec.refresh: 'yes' is no boolean"),
        ({"prerequisites": [{"requirement": {}}]}, "spec.prerequisites[0].name: missing"),
        ({"envRefs": {"A": {"secret": {"name": "n"}}}}, "spec.envRefs.A.type: missing"),
        ({"stack": None}, "spec.stack: None is no string"),
    ]
    for change, said in wrong:
        assert said in faults({**item, "spec": {**spec, **change}})


def test_what_is_not_carried_is_said() -> None:
    text = "windows: [{opens: '22:00', closes: '04:00'}]\nsoak_s: 60\nmax_failures: 2\n"
    careful = lost(parse("fleet: home\nstacks: [{name: talos05}]\nrollback: never\n"), NAMES, [])
    assert careful == [
        "no preview of the whole fleet, no approval that a moved commit, config or state makes void",
        AWAITED,
        "spec-fresh, encode: not asked of talos05, whose settings do not say `verify: true`",
        "a stack that failed stops what waits for it; others of its wave go on",
    ]
    everything = lost(parse(FILE + text), NAMES, NAMES)
    assert everything[2] == (
        "spec-fresh, encode: the update of talos05, talos06, talos07, talos08 proves it itself "
        "(`verify: true`), at every update that pod and node answer; one that meets a transcode succeeds unproven"
    )
    assert [sentence.split(":")[0].split()[0] for sentence in everything[4:]] == [
        "soak_s",
        "windows",
        "rollback",
        "max_failures",
        "holds",
        "lock_wait_s",
    ]


def test_of_every_gate_it_is_said_how_far_the_prerequisites_carry_it() -> None:
    text = "gates: [{name: encode}, {name: own, command: ['true']}]\n"
    file = parse("fleet: home\nstacks: [{glob: '*'}]\n" + text)
    assert lost(file, NAMES, ["talos06"])[1:-2] == [
        PROVEN,
        "encode: not asked of talos05, talos07, talos08, talos09, whose settings do not say `verify: true`",
        "own: nobody runs a gate that is a command",
    ]
    assert lost(parse("fleet: home\nstacks: [{glob: '*'}]\ngates: []\n"), NAMES, [])[1] == (
        "a stack that failed stops what waits for it; others of its wave go on"
    )
    many = lost(file, [f"s{index}" for index in range(7)], [])
    assert "encode: not asked of s0, s1, s2, s3, s4 and 2 more, whose settings do not say `verify: true`" in many


def test_what_cannot_be_exported() -> None:
    names = ["a_b", "a.b", "x" * 40]
    with pytest.raises(RolloutInvalid) as raised:
        stack_objects(parse("fleet: home\nstacks: [{glob: '*'}]\nstack_files: stacks\n"), "rollout.yaml", names, TARGET)
    assert [fault.path for fault in raised.value.faults] == ["stacks", "fleet", "stack_files"]


@given(data=st.data())
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a busy machine is no fault
def test_prerequisites_alone_keep_order_and_limits(data: st.DataObject) -> None:
    """Whatever the operator starts first: it starts any stack whose prerequisites have succeeded."""
    names = [f"s{index:02}" for index in range(data.draw(st.integers(1, 16)))]
    clusters = data.draw(st.integers(1, 3))
    rules = st.builds(WaveRule, count=st.integers(1, 6), max_parallel=st.none() | st.integers(1, 4))
    file = RolloutFile(
        fleet="home",
        stacks=(Selector(glob="*"),),
        waves=tuple(data.draw(st.lists(rules, min_size=1, max_size=3))),
        clusters={f"c{n}": tuple(names[n::clusters]) for n in range(clusters) if names[n::clusters]},
        max_parallel=data.draw(st.integers(1, 4)),
        max_unavailable=data.draw(st.integers(1, 3)),
        holds=tuple(data.draw(st.lists(st.sampled_from(names), max_size=2))),
    )
    after = waits(stack_objects(file, "rollout.yaml", names, TARGET))
    waves, cluster = divide(file, names)[0], clusters_of(file, names)[0]
    wave_of = {name: index for index, wave in enumerate(waves) for name in wave.stacks}
    assert after.keys() == set(names) - set(file.holds)
    done, running = set[str](), set[str]()
    while done != after.keys():
        ready = [n for n in after if n not in done | running and done.issuperset(after[n])]
        if ready and (not running or data.draw(st.booleans())):
            running.add(data.draw(st.sampled_from(ready)))
        else:
            ended = data.draw(st.sampled_from(sorted(running)))
            running.remove(ended)
            done.add(ended)
        [wave] = {wave_of[name] for name in running} or {0}
        assert all(n in done for n in after if wave_of[n] < wave) or not running
        assert len(running) <= waves[wave].max_parallel
        assert all(count <= file.max_unavailable for count in Counter(cluster[n] for n in running).values())


def faults(item: dict[str, Any]) -> list[str]:
    """Where an object is not as the schema says."""
    found = [f"{key}: {item[key]}" for key in ("apiVersion", "kind") if item[key] != SCHEMA[key]]
    return found + unlike(item["spec"], SCHEMA["spec"], "spec")


def unlike(value: Any, schema: Any, path: str) -> list[str]:
    kinds = {"string": str, "boolean": bool, "integer": int}
    if isinstance(schema, str):
        return [] if isinstance(value, kinds[schema]) else [f"{path}: {value!r} is no {schema}"]
    if isinstance(schema, list):
        return [fault for i, part in enumerate(value) for fault in unlike(part, schema[0], f"{path}[{i}]")]
    required = [key.rstrip("!") for key in schema if key.endswith("!")]
    known = {key.rstrip("!"): part for key, part in schema.items()}
    found = [f"{path}.{key}: missing" for key in required if key not in value]
    for key, part in value.items():
        of_key = known.get(key, known.get("*"))
        if of_key is None:
            other = path == "spec" and key in SCHEMA["other"]
            found.append(f"{path}.{key}: {'not described here' if other else 'unknown'}")
        else:
            found += unlike(part, of_key, f"{path}.{key}")
    return found
