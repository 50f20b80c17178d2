"""docs/faults.md: two tables, each written and pinned by the test that fills it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "faults.md"
LIVE = "## In the running lab\n"
"""Where the second part begins."""


def live_section(rows: Iterable[tuple[str, str]], verdict: str) -> str:
    """The part of tests/lab/test_doctor.py."""
    lines = [
        LIVE,
        "Made by tests/lab/test_doctor.py (`TALOS_GPU_WRITE_DOCS=1` writes it anew). Each fault is made by changing",
        "the lab's node, its cluster or a file of the operator's, and undone; then the doctor must find nothing again.",
        "",
        "| Fault | Roots found |",
        "| --- | --- |",
        *(f"| {fault} | {found} |" for fault, found in rows),
        "",
        f"{verdict}; the healthy node: 0 findings, every check ran.",
    ]
    return "\n".join(lines) + "\n"


def saved_section(rows: Iterable[tuple[str, str, str]], verdict: str) -> str:
    """The part of tests/doctor/test_faults.py."""
    lines = [
        "# Faults and findings",
        "",
        "What the doctor finds, and whether it is the root: findings that another explains are not counted. Precision",
        "is the part of the roots found that were made, recall the part of those made that were found.",
        "",
        "## In saved evidence",
        "",
        "Made by tests/doctor/test_faults.py (`TALOS_GPU_WRITE_DOCS=1` writes it anew). Each fault is made in a",
        "healthy node's evidence (a bundle), with what else it brings about.",
        "",
        "| Fault | Roots found | Explained by them |",
        "| --- | --- | --- |",
        *(f"| {fault} | {found} | {beneath} |" for fault, found, beneath in rows),
        "",
        verdict,
        "",
    ]
    return "\n".join(lines) + "\n"
