"""nvidia-smi's facts against the stack's, and how busy the encoder is."""

from __future__ import annotations

from dataclasses import dataclass

from talos_gpu.verify.report import Outcome, Proof
from talos_gpu.verify.said import Said
from talos_gpu.verify.words import cause_of

NAME = "nvidia-smi"
_FIELDS = "name,driver_version,memory.total,memory.used,encoder.stats.sessionCount,utilization.encoder"
COMMAND = ("nvidia-smi", f"--query-gpu={_FIELDS}", "--format=csv,noheader,nounits")
_NOT_FOUND = (126, 127)


@dataclass(frozen=True, slots=True)
class Smi:
    """One GPU as nvidia-smi lists it; None where it does not tell."""

    name: str
    driver: str
    memory_mib: int | None
    used_mib: int | None
    sessions: int | None
    encoder_percent: int | None

    @property
    def busy(self) -> bool:
        """Whether something is being encoded."""
        return bool(self.sessions) or bool(self.encoder_percent)

    @property
    def tells(self) -> bool:
        """Whether it says how many sessions are open; its load alone is that of a moment."""
        return self.sessions is not None

    @property
    def full(self) -> bool:
        """Whether less than a tenth of its memory is free."""
        return bool(self.memory_mib) and (self.used_mib or 0) > 0.9 * (self.memory_mib or 0)


def parse(text: str) -> list[Smi]:
    """The GPUs in nvidia-smi's CSV, in its order; lines of another form are passed over."""
    found = []
    for line in text.splitlines():
        fields = [field.strip() for field in line.split(",")]
        if len(fields) == _FIELDS.count(",") + 1:
            name, driver, *numbers = fields
            found.append(Smi(name, driver, *map(_number, numbers)))
    return found


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() else None  # [N/A], [Not Supported]


def judge(said: Said, model: str, driver: str, memory_mib: int) -> Proof:
    """Whether nvidia-smi lists the stack's GPU."""
    shown = tuple(said.words.splitlines())
    if said.rc in _NOT_FOUND or (said.rc != 0 and not shown):
        sentence = "nvidia-smi is not in the container: the spec mounts it, so nothing was injected."
        return Proof(NAME, Outcome.DISPROVEN, sentence, "nvidia-smi-missing", _RUNTIME, shown, said.shown, said.seconds)
    cause = cause_of(said.words)
    if said.rc != 0 or cause is not None:
        name, sentence, remedy = (cause.name, cause.sentence, cause.remedy) if cause else _unknown(said)
        outcome = Outcome.DISPROVEN
        return Proof(NAME, outcome, sentence, name, remedy, shown, said.shown, said.seconds)
    listed = parse(said.stdout)
    if not listed:
        sentence = "nvidia-smi ended well and listed no GPU in the form that was asked for."
        return Proof(NAME, Outcome.UNKNOWN, sentence, "smi-form", "", shown, said.shown, said.seconds)
    differences = [_differences(one, model, driver, memory_mib) for one in listed]
    fault = min(differences, key=len)  # of several GPUs one must be the stack's
    if fault:
        sentence = f"nvidia-smi lists another GPU than the stack says: {'; '.join(fault)}."
        remedy = "correct node.gpu in the stack, or put the right extension and card into the node"
        return Proof(NAME, Outcome.DISPROVEN, sentence, "other-gpu", remedy, shown, said.shown, said.seconds)
    sentence = f"{model}, driver {driver}, {memory_mib} MiB, as the stack says."
    return Proof(NAME, Outcome.PROVEN, sentence, "", "", shown, said.shown, said.seconds)


_RUNTIME = "give the pod the stack's runtimeClassName and NVIDIA_VISIBLE_DEVICES=all, and restart it"


def _differences(have: Smi, model: str, driver: str, memory_mib: int) -> list[str]:
    found = []
    if have.name != model:
        found.append(f"name {have.name!r}, not {model!r}")
    if have.driver != driver:
        found.append(f"driver {have.driver}, not {driver}")
    if have.memory_mib is not None and have.memory_mib != memory_mib:
        found.append(f"{have.memory_mib} MiB, not {memory_mib}")
    return found


def _unknown(said: Said) -> tuple[str, str, str]:
    last = said.words.strip().splitlines()
    return "smi-failed", f"nvidia-smi ended with {said.rc}: {last[-1] if last else 'no words'}", ""
