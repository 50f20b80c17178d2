"""Reports for people (text), machines (JSON) and CI (JUnit XML)."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from talos_gpu.verify.report import REFERENCE, Outcome, Proof, Report

if TYPE_CHECKING:
    from talos_gpu.verify.form import Form, ProofForm, ReportForm, SpeedForm

_MARK = {
    Outcome.PROVEN: "ok",
    Outcome.DISPROVEN: "FAILED",
    Outcome.ABSENT: "absent",
    Outcome.SKIPPED: "skipped",
    Outcome.UNKNOWN: "?",
}
_NOT_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def as_text(report: Report) -> str:
    """A line a proof, the remedy beneath what is not proven."""
    lines = [f"{report.stack} ({report.node}){f', in {report.place}' if report.place else ''}: {report.outcome}"]
    width = max((len(proof.name) for proof in report.proofs), default=0)
    for proof in report.proofs:
        lines.append(f"  {_MARK[proof.outcome]:7} {proof.name:{width}}  {proof.sentence}{_took(proof)}")
        if proof.remedy and proof.outcome is not Outcome.PROVEN:
            lines.append(f"          {'':{width}}remedy: {proof.remedy}")
    lines += [f"  note: {note}" for note in report.notes]
    return "\n".join(lines) + "\n"


def _took(proof: Proof) -> str:
    return f" [{proof.seconds:.2f} s]" if proof.seconds else ""


def as_json(reports: Sequence[Report]) -> str:
    """The JSON of docs/verify.md."""
    form: Form = {"schema": 1, "reports": [_report(report) for report in reports]}
    return json.dumps(form, indent=2) + "\n"


def _report(report: Report) -> ReportForm:
    return {
        "stack": report.stack,
        "node": report.node,
        "place": report.place,
        "outcome": report.outcome,
        "exit_code": report.exit_code,
        "pretended": report.pretended,
        "seconds": report.seconds,
        "notes": list(report.notes),
        "proofs": [_proof(proof) for proof in report.proofs],
    }


def _proof(proof: Proof) -> ProofForm:
    speed: SpeedForm | None = None
    if proof.speed is not None:
        speed = {
            "frames": proof.speed.frames,
            "fps": proof.speed.fps,
            "times_real_time": proof.speed.times_real_time,
            "floor": proof.speed.floor,
            "pretended": proof.speed.pretended,
            "reference": REFERENCE.get(proof.name),
        }
    return {
        "name": proof.name,
        "outcome": proof.outcome,
        "sentence": proof.sentence,
        "cause": proof.cause,
        "remedy": proof.remedy,
        "evidence": list(proof.evidence),
        "command": proof.command,
        "seconds": proof.seconds,
        "speed": speed,
    }


def as_junit(reports: Sequence[Report]) -> str:
    """A test suite a node, a test case a proof: disproven is a failure, `could not tell` an error."""
    from xml.etree import ElementTree as ET  # noqa: PLC0415 - for this form alone

    root = ET.Element("testsuites", name="talos-gpu verify")
    for report in reports:
        bad = [_verdict(report, proof) for proof in report.proofs]
        suite = ET.SubElement(
            root,
            "testsuite",
            name=_clean(report.stack),
            hostname=_clean(report.node),
            tests=str(len(report.proofs)),
            failures=str(bad.count("failure")),
            errors=str(bad.count("error")),
            skipped=str(bad.count("skipped")),
            time=f"{report.seconds:.3f}",
        )
        for proof, verdict in zip(report.proofs, bad, strict=True):
            case = ET.SubElement(
                suite,
                "testcase",
                classname=f"verify.{_clean(report.node)}",
                name=proof.name,
                time=f"{proof.seconds:.3f}",
            )
            if verdict:
                told = ET.SubElement(case, verdict, message=_clean(proof.sentence))
                if verdict != "skipped":
                    told.set("type", _clean(proof.cause))
                    told.text = _clean("\n".join((f"remedy: {proof.remedy}", *proof.evidence)))
            elif proof.evidence:
                ET.SubElement(case, "system-out").text = _clean("\n".join(proof.evidence))
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _verdict(report: Report, proof: Proof) -> str:
    match proof.outcome:
        case Outcome.DISPROVEN:
            return "failure"
        case Outcome.ABSENT:
            return "failure" if report.needs_encoder else "skipped"
        case Outcome.SKIPPED:
            return "skipped"
        case Outcome.UNKNOWN:
            return "error"
        case Outcome.PROVEN:
            return ""


def _clean(text: str) -> str:
    return _NOT_XML.sub("?", text)
