"""rollout.yaml: every fault at once, in words that a person can act on; which stacks in which waves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from talos_gpu.errors import UsageError
from talos_gpu.rollout.errors import RolloutInvalid
from talos_gpu.rollout.load import load, parse
from talos_gpu.rollout.model import CHECKS, RolloutFile
from talos_gpu.rollout.waves import clusters_of, divide, labels_of, select

NAMES = ["a", "b", "c", "d", "e"]


def model(**settings: Any) -> RolloutFile:
    return parse(yaml.safe_dump({"fleet": "home", "stacks": [{"glob": "*"}], **settings}))


def waves(names: list[str] = NAMES, **settings: Any) -> list[tuple[str, ...]]:
    found, faults = divide(model(**settings), names)
    assert not faults
    return [wave.stacks for wave in found]


def test_every_fault_is_told_at_once() -> None:
    text = """\
fleet: my fleet
stacks:
  - {name: a, glob: "*"}
  - {labl: x=y}
waves:
  - {count: 0}
  - {count: 1, percent: 20}
max_paralel: 2
max_failures: "1"
max_failures: "2"
windows:
  - {opens: 22:30, closes: "25:00", timezone: Mars/Base, days: [mon, tues]}
gates: [{name: x, timeout_s: 0}]
holds: [a b]
"""
    with pytest.raises(RolloutInvalid) as raised:
        parse(text)
    assert (
        str(raised.value)
        == """\
rollout.yaml has 14 faults:
  line 10: 'max_failures' is there twice in one mapping
  fleet: 'my fleet' has more than letters, digits and . _ - in it, or starts with one of those
  stacks[0]: has not exactly one of name, glob, label
  stacks[1].labl: is not a known key
    remedy: did you mean 'label'?
  waves[0].count: 0 should be greater than or equal to 1
  waves[1]: has not exactly one of count, percent, stacks
  max_failures: '2' is not a whole number
  windows[0].days[1]: 'tues' is none of mon, tue, wed, thu, fri, sat, sun
    remedy: did you mean 'tue'?
  windows[0].opens: 1350 is not text (quote it in YAML)
  windows[0].closes: '25:00' is not a time of day
    remedy: write it quoted, as "22:30"
  windows[0].timezone: 'Mars/Base' is not a time zone
    remedy: name it as the tz database does: Europe/Berlin, UTC
  holds[0]: 'a b' is neither a name nor a glob with * ? [ ]
  gates[0].timeout_s: 0 should be greater than or equal to 1
  max_paralel: is not a known key
    remedy: did you mean 'max_parallel'?"""
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "the file:  is not a mapping"),
        ("fleet: [", "line 1: is not YAML"),
        ("- a", "the file:  is not a mapping"),
        ("{fleet: home, stacks: []}", "stacks: is empty"),
        ("stacks: [{name: a}]", "fleet: is missing"),
        ("fleet: home\nstacks: [{name: \x07}]", "line 2: is not YAML: the character #x07 may not be in it"),
        ("fleet: home\n2025-01-01: x", "2025-01-01: is a key and not text\n    remedy: quote it"),
        ("stacks: [{2025-01-01: x}]", "stacks[0].2025-01-01: is a key and not text"),
        ("fleet: 2025-13-40", "the file: is not YAML: month must be in 1..12"),
    ],
)
def test_what_is_no_rollout(text: str, said: str) -> None:
    with pytest.raises(RolloutInvalid) as raised:
        parse(text)
    assert said.replace(":  ", ": ") in str(raised.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot be read"):
        load(tmp_path / "rollout.yaml")


def test_defaults_are_careful() -> None:
    file = model()
    assert (file.max_parallel, file.max_unavailable, file.max_failures, file.soak_s) == (1, 1, 0, 0)
    assert (file.windows, file.holds, file.lock_wait_s, file.rollback) == ((), (), 0, "when-safe")
    assert file.preflight == CHECKS == ("settings", "release", "credentials", "reachable", "image")
    assert file.gates is None, "which means every built-in gate"


def test_the_schema_knows_every_key_and_explains_it() -> None:
    schema = RolloutFile.model_json_schema()
    assert json.loads(json.dumps(schema)) == schema
    for name, part in {"rollout": schema, **schema["$defs"]}.items():
        assert part["additionalProperties"] is False
        assert [key for key, field in part["properties"].items() if not field.get("description")] == [], name


def test_the_default_is_one_stack_then_one_at_a_time() -> None:
    found, faults = divide(model(), NAMES)
    assert not faults
    assert [(wave.name, wave.stacks, wave.max_parallel) for wave in found] == [
        ("canary", ("a",), 1),
        ("rest", ("b", "c", "d", "e"), 1),
    ]


def test_waves_by_count_percentage_and_names() -> None:
    assert waves(waves=[{"count": 1}, {"count": 2}]) == [("a",), ("b", "c"), ("d", "e")]
    assert waves(waves=[{"percent": 20}, {"percent": 100}]) == [("a",), ("b", "c", "d", "e")]
    assert waves(waves=[{"percent": 41}]) == [("a", "b", "c"), ("d", "e")]
    assert waves(waves=[{"stacks": ["d"]}, {"stacks": ["[ab]"]}, {"count": 9}]) == [("d",), ("a", "b"), ("c", "e")]
    assert waves(waves=[{"count": 1}, {"stacks": ["e"]}, {"count": 2}]) == [("a",), ("e",), ("b", "c"), ("d",)]
    assert waves(["a"], waves=[{"count": 1}, {"percent": 50}]) == [("a",)]


def test_what_is_wrong_with_waves() -> None:
    found = divide(model(waves=[{"stacks": ["a", "b"]}, {"stacks": ["b", "x*"]}, {"stacks": ["y"]}]), NAMES)[1]
    assert [str(fault) for fault in found] == [
        "waves[1]: 'b' is in waves[0] as well",
        "waves[2].stacks: names no stack of this rollout",
        "waves: leave out c, d, e\n    remedy: add a wave with count, or percent: 100, at the end",
    ]


def test_a_wave_has_limits_of_its_own() -> None:
    found, _ = divide(model(soak_s=60, waves=[{"count": 1, "soak_s": 4500}, {"count": 4, "max_parallel": 3}]), NAMES)
    assert [(wave.soak_s, wave.max_parallel) for wave in found] == [(4500, 1), (60, 3)]


def test_stacks_by_name_glob_and_label() -> None:
    file = model(
        stacks=[{"name": "e"}, {"label": "site=home"}, {"glob": "[ae]"}],
        labels={"[bc]": {"site": "home"}, "c": {"site": "away"}},
    )
    assert labels_of(file, NAMES)["b"] == {"site": "home"}
    assert select(file, NAMES) == (["e", "b", "a"], [])


def test_what_is_wrong_with_stacks_and_clusters() -> None:
    file = model(stacks=[{"name": "talos5"}, {"glob": "x*"}, {"label": "a=b"}], clusters={"k": ["talos*"], "l": ["*5"]})
    assert [str(fault) for fault in select(file, ["talos05"])[1]] == [
        "stacks[0]: 'talos5' selects no stack\n    remedy: did you mean 'talos05'?",
        "stacks[1]: 'x*' selects no stack\n    remedy: stacks there: talos05",
        "stacks[2]: 'a=b' selects no stack\n    remedy: stacks there: talos05",
    ]
    clusters, faults = clusters_of(file, ["talos05", "other"])
    assert clusters == {"talos05": "k", "other": "default"}
    assert [str(fault) for fault in faults] == ["clusters.l: 'talos05' is in the cluster 'k' as well"]
