"""The report: JSON with its schema, Markdown, and a page that is looked at in a real browser."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from talos_gpu.rollout.fleet import Fleet
from talos_gpu.rollout.load import parse
from talos_gpu.rollout.page import page
from talos_gpu.rollout.records import Final, Kind, Outcome, Record, final
from talos_gpu.rollout.report import Report, make, markdown, next_command
from tests.rollout.browser import look, screenshot
from tests.rollout.sample import CAUSE, FILE, NAMES, journalled, sample_plan
from tests.rollout.simulation import plan_of

BLUE, GREEN, RED = "rgb(76, 139, 245)", "rgb(45, 164, 78)", "rgb(207, 34, 46)"


@pytest.fixture(scope="module")
def report() -> Report:
    plan = sample_plan()
    return make(plan, journalled(plan), command="talos-gpu rollout --file 'my file.yaml'")


@pytest.fixture(scope="module")
def written(report: Report, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(page(report), encoding="utf-8")
    return path


def test_markdown(report: Report) -> None:
    assert (
        markdown(report)
        == f"""\
# Rollout of home: failed

Commit 000000000000, plan {report.plan[:12]}, begun 2027-01-15 08:00:00 UTC.
Stopped: 1 failed, 0 may.

| stack | wave | cluster | state | why |
| --- | --- | --- | --- | --- |
| talos05 | canary | one | done |  |
| talos06 | wave 2 | one | failed | gate encodes failed: hevc_nvenc: <no capable devices> & nothing \\| more run \
`talos-gpu doctor --stack talos06` |
| talos07 | wave 2 | two | done |  |
| talos08 | wave 3 | default | held | it is on hold |

| stack | measured | before | after | unit |
| --- | --- | --- | --- | --- |
| talos05 | encodes: hevc_nvenc | 5.24 | 5.31 | x |
| talos07 | encodes: hevc_nvenc | - | 5.69 | x |

failed: 2 done, 1 failed, 1 held
talos06: failed: {CAUSE}
next: talos-gpu rollout --file 'my file.yaml' resume"""
    )


def test_json_is_as_its_schema_says(report: Report) -> None:
    document, schema = json.loads(report.model_dump_json()), Report.model_json_schema()
    assert list(unlike(document, schema, schema["$defs"], "$")) == []
    assert list(unlike({**document, "more": 1}, schema, schema["$defs"], "$")) == ["$.more: unknown"]
    assert list(unlike({**document, "waves": [1]}, schema, schema["$defs"], "$")) == ["$.waves[0]: 1 is no string"]
    assert Report.model_validate_json(report.model_dump_json()) == report
    assert document["version"] == 1
    assert [stack["state"] for stack in document["stacks"]] == ["done", "failed", "done", "held"]


def test_the_page_needs_nothing_else(written: Path) -> None:
    text = written.read_text()
    assert not re.search(r"<script|<link|<img|<iframe|src=|@import|url\(|https?://", text)
    seen = look(written)
    assert seen["fetched"] == []
    assert seen["scripts"] == 0


def test_the_page_in_a_browser(written: Path, report: Report) -> None:
    seen = look(written)
    assert seen["title"] == "Rollout of home: failed"
    for words in (
        "2 done, 1 failed, 1 held",
        "talos-gpu rollout --file 'my file.yaml' resume",
        "<no capable devices> &",
    ):
        assert words in seen["text"]
    assert re.search(r"talos05\s+encodes: hevc_nvenc\s+5.24\s+5.31\s+x", seen["text"])
    assert not seen["wide"], "it does not fit its window"
    lanes = {lane["stack"]: lane for lane in seen["lanes"]}
    assert list(lanes) == NAMES
    assert len({(lane["box"][0], lane["box"][2]) for lane in lanes.values()}) == 1, "the timelines have one axis"
    assert [bar["colour"] for bar in lanes["talos05"]["bars"]] == [BLUE, GREEN]
    assert [bar["colour"] for bar in lanes["talos06"]["bars"]] == [BLUE, RED]
    assert lanes["talos08"]["bars"] == []
    left, _, width, _ = lanes["talos05"]["box"]
    whole = report.ended_at - report.begun_at
    for stack in report.stacks:
        for step, bar in zip(stack.steps, lanes[stack.name]["bars"], strict=True):
            begin = left + width * (step.ended_at - step.seconds - report.begun_at) / whole
            assert bar["box"][0] == pytest.approx(begin, abs=2)
            assert bar["box"][2] == pytest.approx(width * step.seconds / whole, abs=2)
            assert bar["box"][3] > 8, "it is too thin to see"
            assert bar["title"].startswith(f"{step.step}, {step.seconds:g} s")


def test_the_page_is_really_drawn_and_fits_a_narrow_window(written: Path) -> None:
    width, height, colours = screenshot(written, width=500, height=400)
    assert (width, height) == (500, 400)
    assert {(76, 139, 245), (45, 164, 78), (207, 34, 46)} <= colours
    assert not look(written, width=600)["wide"]


def fleet_of(outcome: Outcome | None, *ends: tuple[str, Final, str], holds: str = "[talos08]") -> Fleet:
    fleet = Fleet(plan_of(parse(FILE.replace("[talos08]", holds)), NAMES))
    fleet.apply(Record(Kind.BEGUN, 1.0))
    for name, state, reason in ends:
        fleet.apply(final(1.0, name, state, reason))
    if outcome is not None:
        fleet.apply(Record(Kind.FINISHED, 1.0, details={"outcome": outcome.value}))
    return fleet


@pytest.mark.parametrize(
    ("fleet", "holds", "command"),
    [
        (Fleet(sample_plan()), [], "T run"),
        (fleet_of(None), [], "T resume"),
        (fleet_of(Outcome.FAILED, ("talos05", Final.FAILED, "gate-failed")), [], "T resume"),
        (fleet_of(Outcome.STOPPED), [], "T resume"),
        (fleet_of(Outcome.ABORTED), [], "T plan"),
        (fleet_of(Outcome.FAILED, ("talos05", Final.FAILED, "moved")), [], "T plan"),
        (fleet_of(Outcome.COMPLETE, ("talos05", Final.DONE, "")), [], ""),
        (fleet_of(Outcome.COMPLETE, ("talos08", Final.HELD, "held")), [], "T plan"),
        (
            fleet_of(Outcome.COMPLETE, ("talos07", Final.HELD, "held"), holds="[]"),
            ["x*", "talos0*"],
            "T release 'talos0*' && T resume",
        ),
        (fleet_of(Outcome.COMPLETE, ("talos07", Final.HELD, "held"), holds="[]"), [], "T resume"),
    ],
)
def test_the_command_that_comes_next(fleet: Fleet, holds: list[str], command: str) -> None:
    assert next_command(fleet, "T", holds) == command


def unlike(value: Any, schema: dict[str, Any], known: dict[str, Any], path: str) -> list[str]:
    """Where a document is not as a JSON schema says, of as much of JSON Schema as pydantic writes for the report."""
    if "$ref" in schema:
        schema = known[schema["$ref"].rpartition("/")[2]]
    kinds: dict[str, Any] = {
        "object": dict,
        "array": list,
        "string": str,
        "integer": int,
        "number": (int, float),
        "boolean": bool,
    }
    if "type" in schema and not isinstance(value, kinds[schema["type"]]):
        return [f"{path}: {value} is no {schema['type']}"]
    if isinstance(value, list):
        return [e for i, item in enumerate(value) for e in unlike(item, schema["items"], known, f"{path}[{i}]")]
    if isinstance(value, dict):
        fields, more = schema.get("properties", {}), schema.get("additionalProperties", True)
        found = [f"{path}.{key}: missing" for key in schema.get("required", ()) if key not in value]
        for key, item in value.items():
            if key in fields:
                found += unlike(item, fields[key], known, f"{path}.{key}")
            elif more is False:
                found.append(f"{path}.{key}: unknown")
            elif isinstance(more, dict):
                found += unlike(item, more, known, f"{path}.{key}")
        return found
    return []
