"""The report of a rollout: made from its plan and its journal alone, as JSON with a schema and as Markdown."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from talos_gpu.rollout.decide import phase
from talos_gpu.rollout.errors import COMMAND
from talos_gpu.rollout.fleet import Fleet
from talos_gpu.rollout.globs import Globs
from talos_gpu.rollout.plan import Plan, StackPlan
from talos_gpu.rollout.records import Final, Kind, Outcome, Record, Step
from talos_gpu.settings.base import Strict


@dataclass(frozen=True, slots=True)
class StepReport:
    """One step of one stack. No model: a large fleet has tens of thousands of them."""

    step: str
    ended_at: float
    """Seconds since the epoch."""
    seconds: float
    ok: bool
    reason: str = ""
    cause: str = ""
    gates: tuple[dict[str, Any], ...] = ()
    """Answers of the gates: gate, verdict, evidence, cause, remedy, measured, seconds."""
    resources: dict[str, int] = field(default_factory=dict)
    """How many resources were created, updated, left as they were."""
    doctor: tuple[dict[str, Any], ...] = ()
    """Of a step that failed: the roots that the doctor found right after, as in `talos-gpu doctor --json`."""


class StackReport(Strict):
    """One stack."""

    name: str
    cluster: str
    wave: str
    state: str
    """done, failed, rolled-back, interrupted, held, not-started; or the step that it is in; or pending."""
    reason: str = ""
    cause: str = ""
    steps: tuple[StepReport, ...] = ()


class Report(Strict):
    """A rollout as its journal tells it."""

    version: int = 1
    fleet: str
    plan: str
    """The plan's hash."""
    commit: str
    outcome: str
    """complete, failed, stopped, aborted; "" while it has not ended."""
    why: str = ""
    """Why nothing more was started."""
    begun_at: float
    ended_at: float
    waves: tuple[str, ...]
    stacks: tuple[StackReport, ...]
    next: str
    """The command that comes next; "" when all is done."""

    @property
    def counts(self) -> Mapping[str, int]:
        """How many stacks ended how."""
        found: dict[str, int] = {}
        for stack in self.stacks:
            found[stack.state] = found.get(stack.state, 0) + 1
        return found


def make(plan: Plan, records: Iterable[Record], *, command: str = COMMAND, holds: Sequence[str] = ()) -> Report:
    """The report of what the records tell.

    `command` is how the rollout was called, for the command that comes next; `holds` what is on hold beyond the plan's.
    """
    fleet = Fleet(plan)
    steps: dict[str, list[StepReport]] = {}
    first, last, why = 0.0, 0.0, ""
    for record in records:
        fleet.apply(record)
        first, last = first or record.at, record.at
        if record.kind is Kind.ENDED:
            steps.setdefault(record.stack, []).append(_step(record))
        elif record.kind is Kind.STOP:
            why = record.cause or record.reason
        elif record.kind is Kind.RESUMED:
            why = ""
    stacks = tuple(
        StackReport(
            name=entry.name,
            cluster=entry.cluster,
            wave=plan.waves[entry.wave].name,
            state=phase(entry),
            reason=entry.reason,
            cause=entry.cause,
            steps=tuple(steps.get(entry.name, ())),
        )
        for entry in fleet.entries.values()
    )
    return Report(
        fleet=plan.fleet,
        plan=plan.hash,
        commit=plan.commit,
        outcome=fleet.outcome.value if fleet.outcome else "",
        why=why,
        begun_at=first,
        ended_at=last,
        waves=tuple(wave.name for wave in plan.waves),
        stacks=stacks,
        next=next_command(fleet, command, holds),
    )


def next_command(fleet: Fleet, command: str = COMMAND, holds: Sequence[str] = ()) -> str:
    """What to type next, to the letter; "" when all is done."""
    if not fleet.begun:
        return f"{command} run"
    moved = any(entry.reason == "moved" for entry in fleet.entries.values())
    if moved or fleet.outcome is Outcome.ABORTED:
        return f"{command} plan"
    if fleet.outcome is not Outcome.COMPLETE:
        return f"{command} resume"
    held = [entry.name for entry in fleet.entries.values() if entry.final is Final.HELD]
    if not held:
        return ""
    fixed = Globs(fleet.plan.holds)
    if any(name in fixed for name in held):
        return f"{command} plan"  # what rollout.yaml holds, its next version lets go
    globs = [glob for glob in holds if any(name in Globs([glob]) for name in held)]
    return f"{command} release {shlex.join(globs)} && {command} resume" if globs else f"{command} resume"


def _step(record: Record) -> StepReport:
    return StepReport(
        step=(record.step or Step.UPDATE).value,
        ended_at=record.at,
        seconds=float(record.details.get("seconds", 0.0)),
        ok=bool(record.ok),
        reason=record.reason,
        cause=record.cause,
        gates=tuple(record.details.get("gates", ())),
        resources=dict(record.details.get("resources", {})),
        doctor=tuple(record.details.get("doctor", ())),
    )


def speeds(stack: StackReport) -> list[tuple[str, float | None, float, str]]:
    """What gates measured, the last time each: gate and figure, before (None: nobody knows), after, unit."""
    found = {}
    for step in stack.steps:
        for answer in step.gates:
            for name, figure in (answer.get("measured") or {}).items():
                words, before = f"{answer['gate']}: {name}", figure.get("before")
                found[words] = (words, before, float(figure["value"]), str(figure["unit"]))
    return list(found.values())


def number(value: float | None) -> str:
    """A figure as it is shown."""
    return "-" if value is None else f"{value:g}"


def markdown(report: Report) -> str:
    """The report for people."""
    lines = [
        f"# Rollout of {report.fleet}: {report.outcome or 'not ended'}",
        "",
        f"Commit {report.commit[:12]}, plan {report.plan[:12]}, begun {moment(report.begun_at)}.",
        *([f"Stopped: {report.why}."] if report.why else []),
        "",
        "| stack | wave | cluster | state | why |",
        "| --- | --- | --- | --- | --- |",
    ]
    for stack in report.stacks:
        why = _cell(stack.cause or stack.reason)
        lines.append(f"| {stack.name} | {stack.wave} | {stack.cluster} | {stack.state} | {why} |")
    measured = [(stack.name, *speed) for stack in report.stacks for speed in speeds(stack)]
    if measured:
        lines += ["", "| stack | measured | before | after | unit |", "| --- | --- | --- | --- | --- |"]
        lines += [f"| {n} | {what} | {number(a)} | {number(b)} | {unit} |" for n, what, a, b, unit in measured]
    return "\n".join([*lines, "", ending(report)])


def ending(report: Report) -> str:
    """How it ended and what comes next, in a few lines."""
    counted = ", ".join(f"{count} {state}" for state, count in report.counts.items())
    lines = [f"{report.outcome or 'not ended'}: {counted}"]
    failed = (Final.FAILED.value, Final.ROLLED_BACK.value, Final.INTERRUPTED.value)
    lines += [f"{stack.name}: {stack.state}: {stack.cause}" for stack in report.stacks if stack.state in failed]
    if report.next:
        lines.append(f"next: {report.next}")
    return "\n".join(lines)


def plan_markdown(plan: Plan, command: str = COMMAND) -> str:
    """A plan for people: what an approval says yes to."""
    lines = [f"# Plan {plan.hash[:12]}: {plan.fleet}", "", f"Commit {plan.commit[:12]}.", ""]
    lines += [f"Warning: {warning}." for warning in plan.warnings]
    for wave in plan.waves:
        soak = f", {wave.soak_s} s soak" if wave.soak_s else ""
        lines += [
            "",
            f"## {wave.name}: {counted(len(wave.stacks), 'stack')}, {wave.max_parallel} at a time{soak}",
            "",
            "| stack | cluster | reboot | replaced | CDI | changes |",
            "| --- | --- | --- | --- | --- | --- |",
            *(_plan_row(plan.stacks[name]) for name in wave.stacks),
        ]
    held = [name for name in plan.stacks if name in Globs(plan.holds)]
    lines += ["", f"On hold, not started: {', '.join(held)}."] if held else []
    if plan.faults:
        lines += ["", "## Faults: this plan cannot be approved", "", *(f"- {_cell(fault)}" for fault in plan.faults)]
    else:
        lines += ["", f"next: {command} approve {plan.hash[:12]}"]
    return "\n".join(lines)


def _plan_row(stack: StackPlan) -> str:
    replaced = ", ".join(change.name for change in stack.replacements) or "-"
    cdi = ", ".join(f"{change.op} {change.name}" for change in stack.cdi) or "-"
    changes = ", ".join(f"{change.op} {change.name}" for change in stack.changes) or "none"
    return f"| {stack.name} | {stack.cluster} | {stack.reboot} | {replaced} | {cdi} | {changes} |"


def counted(count: int, word: str) -> str:
    """`1 stack`, `3 stacks`."""
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def _cell(text: str) -> str:
    return text.replace("\n", " ").replace("|", "\\|")


def moment(at: float) -> str:
    """A moment as people write it, UTC."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
