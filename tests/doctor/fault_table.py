"""docs/faults.md: its tables, each written and pinned by the test that fills it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "faults.md"
HEAD = "# Faults and findings"
SAVED = "## In saved evidence"
LIVE_NODE = "## In the running lab: the node"
LIVE_CLUSTER = "## In the running lab: the cluster, pods, the operator's files"
_MADE_BY = {LIVE_NODE: "test_doctor_node.py", LIVE_CLUSTER: "test_doctor_cluster.py"}


def section(page: str, heading: str) -> str:
    """A heading and what stands below it, up to the next of its level; "" where the page has none."""
    _, found, rest = page.partition(f"{heading}\n")
    body = rest.partition("\n## ")[0].rstrip("\n")
    return f"{heading}\n{body}\n" if found else ""


def with_section(page: str, heading: str, text: str) -> str:
    """The page with another text of a section, at its end where it had none."""
    old = section(page, heading)
    return page.replace(old, text) if old else f"{page.rstrip()}\n\n{text}"


def live_section(heading: str, rows: Iterable[tuple[str, str]], verdict: str) -> str:
    """What a file of tests/lab has found."""
    lines = [
        heading,
        "",
        f"Made by tests/lab/{_MADE_BY[heading]} (`TALOS_GPU_WRITE_DOCS=1` writes it anew). Each fault is made by",
        "changing the lab's node, its cluster or a file of the operator's, and undone; then the doctor must find",
        "nothing again.",
        "",
        "| Fault | Roots found |",
        "| --- | --- |",
        *(f"| {fault} | {found} |" for fault, found in rows),
        "",
        f"{verdict}; afterwards: 0 findings.",
    ]
    return "\n".join(lines) + "\n"


def saved_section(rows: Iterable[tuple[str, str, str]], verdict: str) -> str:
    """The part of tests/doctor/test_faults.py."""
    lines = [
        HEAD,
        "",
        "What the doctor finds, and whether it is the root: findings that another explains are not counted. Precision",
        "is the part of the roots found that were made, recall the part of those made that were found.",
        "",
        SAVED,
        "",
        "Made by tests/doctor/test_faults.py (`TALOS_GPU_WRITE_DOCS=1` writes it anew). Each fault is made in a",
        "healthy node's evidence (a bundle), with what else it brings about.",
        "",
        "| Fault | Roots found | Explained by them |",
        "| --- | --- | --- |",
        *(f"| {fault} | {found} | {beneath} |" for fault, found, beneath in rows),
        "",
        verdict,
    ]
    return "\n".join(lines) + "\n"
