"""The closing table: one record per claim, with its verdict and its evidence."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text


class Verdict(StrEnum):
    """How far a claim goes in the lab."""

    PROVEN = "proven"
    PRETENDED = "pretended"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Claim:
    """One sentence that `up` shows, with what was read to say so."""

    id: str
    claim: str
    verdict: Verdict
    evidence: str


@dataclass(frozen=True, slots=True)
class Report:
    """Everything one `up` showed."""

    claims: Sequence[Claim]
    plugins: Mapping[str, str]
    """Plugin name -> `official` or `stand-in`."""
    seconds: float
    """Wall time of `up`."""

    @property
    def failed(self) -> bool:
        """Whether any claim failed."""
        return any(claim.verdict is Verdict.FAILED for claim in self.claims)

    def as_json(self) -> str:
        """The report as `python -m lab report --json` prints it."""
        return json.dumps(
            {
                "claims": [asdict(claim) for claim in self.claims],
                "plugins": dict(self.plugins),
                "seconds": round(self.seconds, 1),
            },
            indent=2,
        )

    def save(self, path: Path) -> None:
        """Write the report to `path`, whole or not at all."""
        fresh = path.with_suffix(".new")
        fresh.write_text(self.as_json() + "\n")
        fresh.rename(path)

    @classmethod
    def load(cls, path: Path) -> Report | None:
        """The report at `path`, or None where `up` has not ended yet."""
        try:
            data: dict[str, Any] = json.loads(path.read_text())
        except FileNotFoundError:
            return None
        claims = [Claim(c["id"], c["claim"], Verdict(c["verdict"]), c["evidence"]) for c in data["claims"]]
        return cls(claims, data["plugins"], data["seconds"])

    def show(self, console: Console) -> None:
        """Print the table and what to type next."""
        colours = {Verdict.PROVEN: "green", Verdict.PRETENDED: "yellow", Verdict.FAILED: "bold red"}
        table = Table(title="What this showed", title_justify="left", show_lines=False, pad_edge=False)
        table.add_column("claim", overflow="fold", ratio=5)
        table.add_column("verdict", no_wrap=True)
        table.add_column("evidence", overflow="fold", ratio=6)
        for claim in self.claims:
            # evidence is what programs said: `[diff: ...]` and `[/var/run/cdi]` are no markup of ours
            table.add_row(Text(claim.claim), Text(claim.verdict, colours[claim.verdict]), Text(claim.evidence))
        console.print(table)
        stand_ins = sorted(name for name, kind in self.plugins.items() if kind != "official")
        if stand_ins:
            console.print(f"Pulumi plugins that are the lab's own stand-ins: {', '.join(stand_ins)}.")
        console.print(
            "Pretended: the GPU and its driver libraries, Talos itself, Tdarr itself. Everything else is real."
        )
        console.print(
            "Next: [bold].venv/bin/python -m lab status[/], and the same with [bold]kubectl get pods -A[/] or "
            "[bold]reboot[/]; docs/start.md goes on from here; [bold]make down[/] ends it."
        )
