"""Runs of the bench as JSON: written, read again, the newest figures of each area found.

Every run goes to the cache folder; those that are published lie in bench/history, and the page of the documentation
and its plots are made from them alone.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from bench.areas import BY_NAME
from bench.figure import Row

PUBLISHED = Path(__file__).with_name("history")
"""The folder of published runs; their names sort by time."""


class HistoryUnreadable(ValueError):
    """A file that is no run of the bench, with every fault that was found."""

    def __init__(self, where: Path | str, faults: Sequence[str]) -> None:
        super().__init__(f"{where}: no run of the bench: {'; '.join(faults)}. Delete it and measure anew")


@dataclass(frozen=True, slots=True)
class Measured:
    """What one area said in one run."""

    area: str
    load_before: float
    """Load average over one minute as the area began; the idle machine's is near zero."""
    seconds: float
    rows: tuple[Annotated[Row, Field(discriminator="kind")], ...]


@dataclass(frozen=True, slots=True)
class Run:
    """One run: what it was measured on, and what was found."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    machine: dict[str, str]
    """bench.machine_facts.facts()."""
    areas: tuple[Measured, ...]
    format: Literal[1] = 1

    @property
    def at(self) -> str:
        """When it began, UTC."""
        return self.machine["at"]


_RUN = TypeAdapter(Run)


def dumps(run: Run) -> str:
    """The run as JSON text that `loads` gives back equal; a line for each row, so that a diff shows which moved."""
    document = _RUN.dump_python(run, mode="json")
    areas = []
    for area in document["areas"]:
        rows = ",".join(f"\n  {json.dumps(row, ensure_ascii=False)}" for row in area["rows"])
        head = json.dumps({key: value for key, value in area.items() if key != "rows"})
        areas.append(f'\n {head[:-1]}, "rows": [{rows}]}}')
    machine = json.dumps(document["machine"], indent=1, ensure_ascii=False)
    return f'{{"format": {run.format}, "machine": {machine}, "areas": [{",".join(areas)}]}}\n'


def loads(text: str, where: Path | str = "text") -> Run:
    """The run in `text`; raises HistoryUnreadable naming `where`."""
    try:
        run = _RUN.validate_json(text)
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, fault['loc'])) or 'all of it'}: {fault['msg']}" for fault in error.errors()]
        raise HistoryUnreadable(where, faults) from None
    unknown = sorted({measured.area for measured in run.areas} - BY_NAME.keys())
    if unknown or "at" not in run.machine:
        faults = [f"no area is called {name!r}" for name in unknown]
        raise HistoryUnreadable(where, [*faults, *([] if "at" in run.machine else ["machine.at: missing"])])
    return run


def save(run: Run, folder: Path) -> Path:
    """Write the run into `folder` under the name of its time; returns the file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{run.at.partition('+')[0].replace(':', '')}.json"
    path.write_text(dumps(run))
    return path


def runs(folder: Path) -> list[Run]:
    """Every run in `folder`, oldest first."""
    return [loads(path.read_text(), path) for path in sorted(folder.glob("*.json"))]


def newest(found: Sequence[Run]) -> dict[str, tuple[Run, Measured]]:
    """For each area that any run measured, in the order of the table: its newest measurement, and of which run."""
    last = {measured.area: (run, measured) for run in sorted(found, key=lambda run: run.at) for measured in run.areas}
    return {name: last[name] for name in BY_NAME if name in last}
