"""The form of `talos-gpu verify --json`, and its JSON Schema: `python -m talos_gpu.verify.form` prints it."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter
from typing_extensions import TypedDict

from talos_gpu.verify.report import Outcome

SCHEMA: Literal[1] = 1
"""Counted up when a field is taken away or means something else; new fields may come."""


class SpeedForm(TypedDict):
    """How fast an encode was."""

    frames: int
    fps: float
    times_real_time: float
    floor: Annotated[float | None, Field(description="Demanded, times real time; null: nothing was.")]
    pretended: Annotated[bool, Field(description="Measured on the lab's GPU: says nothing about hardware.")]
    reference: Annotated[float | None, Field(description="A Quadro P2000's, driver 535.247.01, for comparison.")]


class ProofForm(TypedDict):
    """One proof."""

    name: Annotated[str, Field(description="spec, inside, nvidia-smi, hevc_nvenc, h264_nvenc, decode, cuda; pod.")]
    outcome: Outcome
    sentence: str
    cause: Annotated[str, Field(description="Short stable name of why it is not proven; empty where it is.")]
    remedy: str
    evidence: Annotated[list[str], Field(description="Lines as they were read.")]
    command: Annotated[str, Field(description="For a person to type; empty where none was run.")]
    seconds: Annotated[float, Field(ge=0)]
    speed: SpeedForm | None


class ReportForm(TypedDict):
    """All proofs of one node."""

    stack: str
    node: str
    place: Annotated[str, Field(description="Where the commands ran: `pod media/tdarr-0`; empty: nowhere.")]
    outcome: Annotated[Outcome, Field(description="proven, disproven or could not tell.")]
    exit_code: Annotated[int, Field(ge=0, le=2)]
    pretended: Annotated[bool, Field(description="The node is the lab's.")]
    seconds: Annotated[float, Field(ge=0)]
    notes: list[str]
    proofs: list[ProofForm]


class Form(TypedDict):
    """What `talos-gpu verify --json` prints."""

    schema: Literal[1]
    reports: list[ReportForm]


FORM = TypeAdapter(Form)


def json_schema() -> str:
    """The JSON Schema's text, as docs/verify.schema.json has it."""
    schema = FORM.json_schema()
    return json.dumps({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}, indent=2) + "\n"


if __name__ == "__main__":
    sys.stdout.write(json_schema())
