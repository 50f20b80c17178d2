"""Gates: what must hold on a stack's node after its update. A gate that cannot tell is a failure.

The built-in ones are in the table by name, in the order in which they are asked, each in a module of its own that is
imported when it is needed. A command of the user's is a gate too.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from threading import Event
from typing import Any, Protocol

from talos_gpu.errors import TalosGpuError
from talos_gpu.rollout.model import Gate as GateRule

BUILT_IN: Mapping[str, tuple[str, str]] = {
    "machine-ready": ("talos_gpu.rollout.node_gates", "machine_ready"),
    "services": ("talos_gpu.rollout.node_gates", "services"),
    "node-ready": ("talos_gpu.rollout.cluster_gates", "node_ready"),
    "spec-fresh": ("talos_gpu.rollout.proof_gates", "spec_fresh"),
    "encode": ("talos_gpu.rollout.proof_gates", "encode"),
    "workload-ready": ("talos_gpu.rollout.cluster_gates", "workload_ready"),
}
"""Name -> (module, name of a `Gate` in it), in the order in which they are asked."""
MEASURED_BEFORE: Mapping[str, tuple[str, str]] = {"encode": ("talos_gpu.rollout.proof_gates", "speeds_before")}
"""Name of a gate -> (module, name of a function `Asked` -> its figures before an update)."""


Figures = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""Gate -> name -> `value`, `unit`."""


class Verdict(StrEnum):
    """What a gate says."""

    PASSED = "passed"
    FAILED = "failed"
    UNKNOWN = "unknown"
    """It could not tell, which is as bad."""


@dataclass(frozen=True, slots=True)
class Measured:
    """A figure that a gate measured, such as an encode's speed."""

    value: float
    unit: str


@dataclass(frozen=True, slots=True)
class Said:
    """A gate's answer."""

    verdict: Verdict
    evidence: str = ""
    cause: str = ""
    remedy: str = ""
    measured: Mapping[str, Measured] = field(default_factory=dict)
    """By name, for the report; the figure of the last rollout in which the stack was done is put beside it."""


NEEDS_WORKER = "encode"
"""Name of the gate that a stack without a worker cannot pass."""
NO_WORKER = Said(
    Verdict.UNKNOWN,
    cause="the stack has no worker to encode in",
    remedy="leave `encode` out of rollout.yaml's gates, or make it a command",
)
"""What it says of one."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a gate is asked about."""

    stack: str
    project: Path
    stack_file: Path
    timeout_s: int
    update: Mapping[str, Any]
    """Details of the update that went before; empty if nobody knows them any more."""
    stopped: Event
    """Set when the answer is no longer wanted."""


class Gate(Protocol):
    """One question about a node."""

    def __call__(self, asked: Asked) -> Said:
        """Answer within `asked.timeout_s` seconds."""
        ...


def built_in() -> tuple[GateRule, ...]:
    """All built-in gates, in order."""
    return tuple(GateRule(name=name) for name in BUILT_IN)


def gate_of(rule: GateRule) -> Gate:
    """The gate that a rule names. Raises KeyError if no built-in gate has the name."""
    if rule.command is not None:
        made: Gate = import_module("talos_gpu.rollout.command_gate").command_gate(rule.command)
        return made
    module, name = BUILT_IN[rule.name]
    found: Gate = getattr(import_module(module), name)
    return found


def ask(
    rules: Sequence[GateRule], asked: Callable[[GateRule], Asked], before: Figures | None = None
) -> tuple[list[dict[str, Any]], str, str]:
    """Ask the gates in order, up to the first that does not pass; `before` is what they measured the last time.

    Returns every answer as JSON, the reason (`gate-failed`, `gate-unknown`, "" if all passed) and the cause.
    """
    answers = []
    for rule in rules:
        began = time.monotonic()
        try:
            said = gate_of(rule)(asked(rule))
        except TalosGpuError as error:
            said = Said(Verdict.UNKNOWN, cause=error.message, remedy=error.remedy)
        except (OSError, ValueError, LookupError, RuntimeError) as error:
            said = Said(Verdict.UNKNOWN, cause=f"{type(error).__name__}: {error}")
        answer = {key: value for key, value in asdict(said).items() if value}
        for name, figure in answer.get("measured", {}).items():
            earlier = (before or {}).get(rule.name, {}).get(name, {})
            if earlier.get("unit") == figure["unit"]:
                figure["before"] = earlier["value"]
        answers.append({"gate": rule.name, **answer, "seconds": round(time.monotonic() - began, 3)})
        if said.verdict is not Verdict.PASSED:
            remedy = f"; {said.remedy}" if said.remedy else ""
            told = "failed" if said.verdict is Verdict.FAILED else "could not tell"
            reason = "gate-failed" if said.verdict is Verdict.FAILED else "gate-unknown"
            return answers, reason, f"gate {rule.name} {told}: {said.cause or said.evidence}{remedy}"
    return answers, "", ""


def measure_before(rules: Sequence[GateRule], asked: Callable[[GateRule], Asked], known: Figures) -> Figures:
    """`known`, and for gates that it has nothing of what they measure now, before the update."""
    found = dict(known)
    for rule in rules:
        if rule.command is None and rule.name in MEASURED_BEFORE and rule.name not in known:
            module, name = MEASURED_BEFORE[rule.name]
            measure: Callable[[Asked], Mapping[str, Measured]] = getattr(import_module(module), name)
            found[rule.name] = {name: asdict(figure) for name, figure in measure(asked(rule)).items()}
    return found


def figures_of(answers: Sequence[Mapping[str, Any]]) -> Figures:
    """What gates measured, from their answers as JSON."""
    return {answer["gate"]: answer["measured"] for answer in answers if answer.get("measured")}
