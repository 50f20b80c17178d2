"""The judgements that need no program: parsing, spec, reports and their forms."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from talos_gpu.verify import inside, render, smi
from talos_gpu.verify.form import FORM, SCHEMA, json_schema
from talos_gpu.verify.progress import parse as parse_progress
from talos_gpu.verify.refine import settle_encoders
from talos_gpu.verify.report import ENCODERS, Outcome, Proof, Report, Speed
from talos_gpu.verify.said import Said
from talos_gpu.verify.smi import Smi
from talos_gpu.verify.words import ALL, cause_of
from tests.verify.junit import faults as faults_of_junit


def test_progress_is_the_last_of_each_key_and_fps_is_made_of_the_speed_where_ffmpeg_says_none() -> None:
    text = "frame=1\nfps=0.00\nspeed=N/A\nprogress=continue\nframe=60\nfps=0.00\nspeed= 5.2x\nprogress=end\n"
    found = parse_progress(text, 30.0)
    assert (found.frames, found.fps, found.speed, found.ended) == (60, 156.0, 5.2, True)
    assert parse_progress("", 30.0).speed is None


@given(st.text())
def test_any_text_can_be_parsed(text: str) -> None:
    inside.parse(text)
    smi.parse(text)
    parse_progress(text, 30.0)
    cause_of(text)


@pytest.mark.parametrize(
    ("sessions", "tells"), [("0", True), ("2", True), ("[N/A]", False), ("[Not Supported]", False)]
)
def test_nvidia_smi_tells_of_the_encoder_only_with_a_number(sessions: str, tells: bool) -> None:
    [gpu] = smi.parse(f"Quadro P2000, 535.247.01, 5120, 3, {sessions}, 0\n")
    assert gpu.tells is tells


def test_every_known_failure_has_a_name_of_its_own_and_a_sentence() -> None:
    names = [words.cause.name for words in ALL]
    assert len(set(names)) == len(names)
    for words in ALL:
        assert words.cause.sentence.endswith(".")
        assert words.cause.source


@pytest.mark.parametrize(
    ("model", "outcome"),
    [
        ("NVIDIA A100-SXM4-40GB", Outcome.ABSENT),
        ("NVIDIA H100 80GB HBM3", Outcome.ABSENT),
        ("NVIDIA GeForce GT 1030", Outcome.ABSENT),
        ("NVIDIA RTX A1000", Outcome.DISPROVEN),
        ("NVIDIA RTX A3000 Laptop GPU", Outcome.DISPROVEN),
        ("Quadro P2000", Outcome.DISPROVEN),
    ],
)
def test_a_refused_encoder_is_absent_from_models_that_have_none_and_broken_on_others(
    model: str, outcome: Outcome
) -> None:
    refused = tuple(Proof(name, Outcome.DISPROVEN, "No.", "nvenc-unsupported") for name in ENCODERS)
    settled = settle_encoders(refused, Smi(model, "535.247.01", 5120, 0, 0, 0))
    assert {found.outcome for found in settled} == {outcome}
    code = 1 if outcome is Outcome.DISPROVEN else 0
    fine = Proof("spec", Outcome.PROVEN, "It is so.")
    assert Report("s", "n", "", (fine, *settled), needs_encoder=False).exit_code == code


def proof(name: str, outcome: Outcome) -> Proof:
    return Proof(name, outcome, "It is so.", "" if outcome is Outcome.PROVEN else "why", "do this")


@pytest.mark.parametrize(
    ("outcomes", "needs_encoder", "code"),
    [
        ((Outcome.PROVEN, Outcome.SKIPPED), True, 0),
        ((Outcome.PROVEN, Outcome.DISPROVEN, Outcome.UNKNOWN), True, 1),
        ((Outcome.PROVEN, Outcome.UNKNOWN), True, 2),
        ((Outcome.PROVEN, Outcome.ABSENT), True, 1),
        ((Outcome.PROVEN, Outcome.ABSENT), False, 0),
        ((Outcome.SKIPPED,), True, 2),
        ((), True, 2),
    ],
)
def test_exit_codes(outcomes: tuple[Outcome, ...], needs_encoder: bool, code: int) -> None:
    proofs = tuple(proof("hevc_nvenc", outcome) for outcome in outcomes)
    assert Report("s", "n", "", proofs, needs_encoder).exit_code == code


REPORT = Report(
    stack="talos05",
    node="talos05",
    place="pod media/tdarr-0",
    proofs=(
        Proof("spec", Outcome.PROVEN, "It is fresh.", evidence=("a",), seconds=0.05),
        Proof(
            "hevc_nvenc",
            Outcome.DISPROVEN,
            "The GPU encodes, but slowly.",
            "slow",
            "cool it",
            ("frame=60", "bad \x1b byte"),
            "ffmpeg -f null -",
            1.25,
            Speed(60, 15.0, 0.5, 1.0, pretended=False),
        ),
        Proof("cuda", Outcome.UNKNOWN, "Not tried.", "busy", "wait"),
    ),
    needs_encoder=True,
    seconds=1.5,
    notes=("a note",),
)


def test_the_text_for_people() -> None:
    assert render.as_text(REPORT) == (
        "talos05 (talos05), in pod media/tdarr-0: disproven\n"
        "  ok      spec        It is fresh. [0.05 s]\n"
        "  FAILED  hevc_nvenc  The GPU encodes, but slowly. [1.25 s]\n"
        "                    remedy: cool it\n"
        "  ?       cuda        Not tried.\n"
        "                    remedy: wait\n"
        "  note: a note\n"
    )


def test_the_json_is_the_documented_one() -> None:
    documented = (Path(__file__).parents[2] / "docs" / "verify.md").read_text()
    example = documented.partition("```json\n")[2].partition("```")[0]
    assert json.loads(example) == json.loads(render.as_json([REPORT]))


def test_the_json_schema_is_the_documented_one_and_holds(fixtures: Path) -> None:
    assert (fixtures.parents[1] / "docs/verify.schema.json").read_text() == json_schema()
    assert FORM.validate_json(render.as_json([REPORT]), strict=True)["schema"] == SCHEMA


@pytest.mark.parametrize("change", [{"speed": 1}, {"outcome": "fine"}, {"seconds": "1"}])
def test_the_schema_refuses_what_is_of_another_form(change: dict[str, object]) -> None:
    document = json.loads(render.as_json([REPORT]))
    document["reports"][0]["proofs"][0] |= change
    with pytest.raises(ValidationError):
        FORM.validate_json(json.dumps(document), strict=True)


def test_junit_counts_failures_and_errors_and_is_well_formed() -> None:
    [suite] = ET.fromstring(render.as_junit([REPORT]))
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("3", "1", "1")
    slow = suite[1]
    assert (slow.get("name"), slow.get("time")) == ("hevc_nvenc", "1.250")
    [failure] = slow
    assert failure.get("type") == "slow"
    assert failure.text == "remedy: cool it\nframe=60\nbad ? byte"


PROOFS = st.builds(
    Proof,
    st.sampled_from(["spec", "hevc_nvenc"]),
    st.sampled_from(Outcome),
    st.text(),
    st.text(),
    st.text(),
    st.tuples(st.text()),
    st.text(),
    st.floats(0, 1e6),
)


@given(st.lists(PROOFS, max_size=4), st.text(), st.booleans())
def test_whatever_a_proof_says_is_valid_junit_and_valid_json(
    proofs: list[Proof], stack: str, needs_encoder: bool
) -> None:
    report = Report(stack, "n", "", tuple(proofs), needs_encoder)
    assert faults_of_junit(render.as_junit([report, report])) == []
    FORM.validate_json(render.as_json([report]), strict=True)


def test_junit_of_the_documented_report_breaks_no_rule() -> None:
    assert faults_of_junit(render.as_junit([REPORT])) == []
    assert faults_of_junit(
        "<testsuites><testsuite name='a' tests='2'><testcase name='b'/></testsuite></testsuites>"
    ) == [
        "testcase lacks classname",
        "testsuite says 2 tests, there are 1",
    ]


def test_the_clip_is_not_shown() -> None:
    said = Said(
        ("ffmpeg", "-i", "data:video/h264;base64,AAAA/+=="), 0, "", "from 'data:video/h264;base64,AAAA/+==':", 0
    )
    assert said.shown == "ffmpeg -i data:video/h264;base64,..."
    assert said.words == "from 'data:video/h264;base64,...':"
