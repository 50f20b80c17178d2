"""What was proven: values only; sentences for people are in them, tables and formats in render.py."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

ENCODERS = ("hevc_nvenc", "h264_nvenc")
"""The encode proofs' names, which are ffmpeg's."""

NOT_PROVEN_YET = "not proven yet"
"""How the drift of a `Verified` begins whose proof a busy encoder has put off."""

REFERENCE: Mapping[str, float] = {"hevc_nvenc": 5.24, "h264_nvenc": 5.69}
"""Speeds measured on a Quadro P2000, driver 535.247.01, 1280x720 at 30 fps: for comparison, never a floor."""


class Outcome(StrEnum):
    """How a proof ended."""

    PROVEN = "proven"
    DISPROVEN = "disproven"
    ABSENT = "absent"
    """The GPU has no such unit; nothing is broken."""
    SKIPPED = "skipped"
    """Nothing to be proven here: the method or the image has no part in it."""
    UNKNOWN = "could not tell"


@dataclass(frozen=True, slots=True)
class Speed:
    """How fast ffmpeg was."""

    frames: int
    fps: float
    times_real_time: float
    floor: float | None
    """Times real time that were demanded; None where nothing was, as on an encoder shared with others."""
    pretended: bool
    """Measured on a pretended GPU: says nothing about hardware."""


@dataclass(frozen=True, slots=True)
class Proof:
    """One proof: what a person reads, what it rests on."""

    name: str
    outcome: Outcome
    sentence: str
    cause: str = ""
    """Short stable name of why it is not proven: `uvm-stale`; "" where it is."""
    remedy: str = ""
    evidence: tuple[str, ...] = ()
    """Lines as they were read."""
    command: str = ""
    seconds: float = 0.0
    speed: Speed | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """All proofs of one node."""

    stack: str
    node: str
    place: str
    """Where the commands ran: `pod media/tdarr-...`; "" where nowhere."""
    proofs: tuple[Proof, ...]
    needs_encoder: bool
    """Whether a GPU without an encoder is a failure: it is where the stack has a worker that transcodes."""
    pretended: bool = False
    seconds: float = 0.0
    notes: tuple[str, ...] = field(default=())

    def proof(self, name: str) -> Proof:
        """The proof of that name; KeyError if there is none."""
        for proof in self.proofs:
            if proof.name == name:
                return proof
        raise KeyError(name)

    @property
    def outcome(self) -> Outcome:
        """PROVEN, DISPROVEN, or UNKNOWN where something could not be told and nothing is disproven."""
        outcomes = {proof.outcome for proof in self.proofs}
        lacks = self.needs_encoder and any(
            proof.name in ENCODERS and proof.outcome is Outcome.ABSENT for proof in self.proofs
        )
        if lacks or Outcome.DISPROVEN in outcomes:
            return Outcome.DISPROVEN
        if Outcome.UNKNOWN in outcomes or Outcome.PROVEN not in outcomes:
            return Outcome.UNKNOWN
        return Outcome.PROVEN

    @property
    def exit_code(self) -> int:
        """0 proven, 1 disproven, 2 could not tell."""
        return {Outcome.PROVEN: 0, Outcome.DISPROVEN: 1}.get(self.outcome, 2)
