"""Diagnoses and explanations for people and for programs."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Sequence
from dataclasses import asdict

from talos_gpu.doctor.explain import Explanation
from talos_gpu.doctor.finding import Diagnosis, Finding, NotRun
from talos_gpu.doctor.links import links

SCHEMA = 1
"""Counted up when a field of the JSON is taken away or means something else."""
_MANY = 4


def as_text(diagnosis: Diagnosis) -> str:
    """Roots, each with what it explains beneath it; then what could not be told."""
    roots = diagnosis.roots
    count = f"{len(roots)} finding{'s' if len(roots) != 1 else ''}" if roots else "nothing wrong found"
    if any(one.lacks for one in diagnosis.not_run):
        looked = (
            f"{count} in what could be looked at: {diagnosis.ran} of {diagnosis.ran + len(diagnosis.not_run)} checks"
        )
    else:
        looked = f"{count}, {diagnosis.ran} checks"
    lines = [f"{diagnosis.subject or 'doctor'}: {looked}"]
    below: dict[str, list[Finding]] = {}
    for finding in diagnosis.findings:
        below.setdefault(finding.explained_by, []).append(finding)
    for finding in roots:
        lines += [
            f"\n{finding.severity}: {finding.check}",
            f"  evidence  {finding.evidence}",
            f"  cause     {finding.cause}",
            f"  remedy    {finding.remedy}",
            f"  source    {finding.source}",
            *(f"            {link}" for link in links(finding.source)),
        ]
        if roots.index(finding) == max(i for i, one in enumerate(roots) if one.check == finding.check):
            lines += _beneath(finding.check, below, "  ")
    if diagnosis.not_run:
        lines.append("\ncould not be told:")
        lines += _untold(diagnosis.not_run)
    return "\n".join(lines) + "\n"


def _untold(not_run: Sequence[NotRun]) -> list[str]:
    """A line a check; of many with one reason (no talosconfig, no role) the reason once, and their names below it."""
    by_reason: dict[str, list[NotRun]] = {}
    for one in not_run:
        by_reason.setdefault(" ".join(one.reason.partition(": ")[2].split()), []).append(one)
    lines = []
    for reason, those in by_reason.items():
        if len(those) < _MANY:
            lines += [f"  {one.check}: {one.reason}" for one in those]
            continue
        evidence = ", ".join(dict.fromkeys(one.reason.partition(": ")[0] for one in those))
        checks = ", ".join(one.check for one in those)
        lines.append(f"  {len(those)} checks: {reason}")
        lines += textwrap.wrap(
            f"for want of {evidence}: {checks}",
            116,
            initial_indent="    ",
            subsequent_indent="    ",
            break_on_hyphens=False,
        )
    return lines


def _beneath(check: str, below: dict[str, list[Finding]], indent: str) -> list[str]:
    lines = []
    for finding in below.get(check, ()):
        lines.append(f"{indent}explains {finding.check}: {finding.evidence}")
        last = [one for one in below[check] if one.check == finding.check][-1]
        if finding is last:
            lines += _beneath(finding.check, below, indent + "  ")
    return lines


def as_json(diagnosis: Diagnosis) -> str:
    """The diagnosis: findings in the order of the text, `explained_by` naming the check above."""
    document = {
        "schema": SCHEMA,
        "subject": diagnosis.subject,
        "exit_code": diagnosis.exit_code,
        "ran": diagnosis.ran,
        "findings": [asdict(finding) for finding in diagnosis.findings],
        "could_not_be_told": [{"check": one.check, "reason": one.reason} for one in diagnosis.not_run],
    }
    return json.dumps(document, indent=2) + "\n"


def explanations_text(found: Sequence[Explanation]) -> str:
    """Cause and remedy of a text; what it does not know it says."""
    if not found:
        return "This text is not known here. `talos-gpu doctor STACK` looks at the node itself.\n"
    blocks = [
        f"{one.name}: {one.words}\n  cause   {one.cause}\n  remedy  {one.remedy}\n  source  {one.source}\n"
        + "".join(f"          {link}\n" for link in links(one.source))
        for one in found
    ]
    return "\n".join(blocks)


def explanations_json(found: Sequence[Explanation]) -> str:
    """The same for programs."""
    return (
        json.dumps({"schema": SCHEMA, "known": bool(found), "causes": [asdict(one) for one in found]}, indent=2) + "\n"
    )
