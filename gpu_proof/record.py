"""What was tried and what came of it: one record a claim, kept as it is made so that an end by time loses none."""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

SCHEMA = 1
"""Counted up when a field of evidence.json is taken away or means something else."""

_LINE = 600
"""Characters of an output's line that are kept."""


class Verdict(StrEnum):
    """How far a claim went."""

    PROVEN = "proven"
    FAILED = "failed"
    ABSENT = "absent"
    """This machine or GPU has no such part: nothing was proven and nothing is broken."""


@dataclass(frozen=True, slots=True)
class Record:
    """One claim: what was run, the core of what came out, and what that says."""

    id: str
    claim: str
    command: str
    output: str
    verdict: Verdict
    facts: dict[str, Any] = field(default_factory=dict)
    """What a program may want of it: digests, seconds, what was foretold."""


def proven(ok: bool) -> Verdict:
    """The verdict on a claim that holds or does not."""
    return Verdict.PROVEN if ok else Verdict.FAILED


class Journal:
    """Records in a file, a JSON object a line, beside a log of everything said."""

    def __init__(self, folder: Path, hide: Callable[[str], str]) -> None:
        """`hide` takes what names this very machine out of every text that is kept."""
        self.folder, self.hide = folder, hide
        self.finished: list[dict[str, Any]] = []
        """The records of the evidence, after `finish`."""
        self._records = folder / "records.jsonl"
        self._log = folder / "prove.log"

    def say(self, text: str) -> None:
        """A line or more to the log."""
        with self._log.open("a") as log:
            log.write(self.hide(text.rstrip("\n")) + "\n")

    def keep(self, record: Record) -> None:
        """A record to the file, and its verdict to the screen and the log."""
        record = replace(record, output="\n".join(line[:_LINE] for line in self.hide(record.output).splitlines()))
        with self._records.open("a") as records:
            records.write(self.hide(json.dumps(asdict(record))) + "\n")
        line = f"{record.verdict:7} {record.id}: {record.claim}"
        print(line, flush=True)
        self.say(f"{line}\n  $ {record.command}\n  " + record.output.replace("\n", "\n  "))

    def attempt(self, name: str, work: Callable[[], Iterator[Record]]) -> None:
        """Keep the records of one part; an error in it becomes a failed record of its own, and the others go on."""
        try:
            for record in work():
                self.keep(record)
        except Exception as error:
            self.say(traceback.format_exc())
            self.keep(
                Record(f"{name}/error", f"the part {name} runs", "", f"{type(error).__name__}: {error}", Verdict.FAILED)
            )

    def records(self) -> list[dict[str, Any]]:
        """What is on record so far."""
        if not self._records.exists():
            return []
        return [json.loads(line) for line in self._records.read_text().splitlines()]

    def finish(self, head: dict[str, Any]) -> Path:
        """evidence.json from `head` and the records; returns its path."""
        path = self.folder / "evidence.json"
        self.finished = self.records()
        document = {"schema": SCHEMA, **head, "records": self.finished}
        path.write_text(self.hide(json.dumps(document, indent=1)) + "\n")
        self._records.unlink(missing_ok=True)
        return path
