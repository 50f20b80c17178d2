"""The committed evidence: its form, that it names no machine, and that its specs pass through today's code."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from gpu_proof.record import SCHEMA, Verdict
from gpu_proof.story import CASES
from talos_gpu.cdi import Library, Strategy, faults, patch, sha256
from talos_gpu.doctor.explain import explain

FOLDER = Path(__file__).parents[2] / "docs/evidence"
RUNS = sorted(path.parent for path in FOLDER.glob("*/evidence.json"))
_UUID = re.compile(r"(?:GPU|MIG)-([0-9a-f]{3}[0-9a-f-]*)")
_REPLACED = "00000000-0000-0000-0000-"


@pytest.fixture(params=RUNS, ids=lambda path: path.name)
def run(request: pytest.FixtureRequest) -> Path:
    found: Path = request.param
    return found


@pytest.fixture
def evidence(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "evidence.json").read_text())
    return found


def by_id(evidence: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {record["id"]: record for record in evidence["records"]}


def test_there_is_evidence() -> None:
    assert RUNS


def test_it_names_gpu_driver_and_kernel(evidence: dict[str, Any], run: Path) -> None:
    machine = evidence["machine"]
    assert evidence["schema"] == SCHEMA
    assert machine["gpus"][0]["name"].startswith("NVIDIA ")
    assert re.fullmatch(r"\d+\.\d+\.\d+", machine["kernel"])
    assert machine["driver"] in run.name
    assert evidence["seconds"] <= 300


def test_every_record_has_the_form(evidence: dict[str, Any]) -> None:
    fields = {"id", "claim", "command", "output", "verdict", "facts"}
    for record in evidence["records"]:
        assert set(record) == fields, record["id"]
        assert record["claim"]
        assert record["verdict"] in list(Verdict)
    assert len(by_id(evidence)) == len(evidence["records"])


def test_nothing_failed_and_only_nvenc_is_absent(evidence: dict[str, Any]) -> None:
    verdicts = {name: record["verdict"] for name, record in by_id(evidence).items()}
    assert [name for name, verdict in verdicts.items() if verdict == Verdict.FAILED] == []
    assert [name for name, verdict in verdicts.items() if verdict == Verdict.ABSENT] == ["work/nvenc"]


def test_every_case_of_the_story_is_there(evidence: dict[str, Any]) -> None:
    assert {f"story/{case.id}" for case in CASES} <= set(by_id(evidence))


def test_its_words_are_explained_today_as_they_were(evidence: dict[str, Any]) -> None:
    for name, record in by_id(evidence).items():
        if name.startswith("story/"):
            said = [one.name for one in explain(record["output"])]
            assert said == record["facts"]["explain"], name


def test_no_text_names_a_gpu_or_a_host(run: Path) -> None:
    for path in run.rglob("*"):
        if path.is_file():
            for uuid in _UUID.findall(path.read_text()):  # the end of a cut line may hold a part of one
                assert uuid[: len(_REPLACED)] == _REPLACED[: len(uuid)], path


@pytest.mark.parametrize("library", list(Library))
def test_its_specs_are_valid_and_become_by_the_patch_what_they_became_there(run: Path, library: Library) -> None:
    generated = [path for path in sorted((run / "specs").glob("*.yaml")) if not path.stem.endswith("-patched")]
    assert len(generated) == 5
    for path in generated:
        text = path.read_text()
        strategy = Strategy.NVIDIA_CTK if "hook-nvidia-ctk" in path.name else Strategy.REAL
        patched = patch(text, strategy, library=library)
        assert not faults(text, library=library), path.name
        assert patched.text == path.with_name(f"{path.stem}-patched.yaml").read_text(), path.name
        assert patch(patched.text, strategy, library=library).sha256 == sha256(patched.text)


def test_the_records_name_the_specs_that_are_there(evidence: dict[str, Any], run: Path) -> None:
    named = {record["facts"]["spec"] for record in evidence["records"] if "spec" in record["facts"]}
    assert named == {f"specs/{path.name}" for path in (run / "specs").iterdir()}
