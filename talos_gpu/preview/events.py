"""What an engine's events say in full: values too, which `talos_gpu.rollout.told` leaves out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from talos_gpu.preview.model import Violation
from talos_gpu.rollout.plan import Change

UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
"""How the engine writes what is known only after the update (sdk/go/common/resource/plugin, UnknownStringValue)."""
SECRET = "4dabf18193072939515e22adb298388d"  # noqa: S105 - the signature key of special values
_SHOWN = frozenset({"create", "update", "replace", "delete"})
"""Steps that stand for a resource: `create-replacement` and `delete-replaced` are parts of a `replace`."""

_LONGEST = 400
"""Characters of a warning that are shown."""


@dataclass(frozen=True, slots=True)
class Step:
    """What is done to one resource. Values may be UNKNOWN; secrets are masked by the engine."""

    op: str
    type: str
    name: str
    old: Mapping[str, Any]
    """inputs, outputs; empty before a create."""
    new: Mapping[str, Any]
    paths: tuple[str, ...]
    """Of the properties that differ, as far as the provider tells."""

    @property
    def kind(self) -> str:
        """The last word of the type: `Deployment`."""
        return self.type.rpartition(":")[2].rpartition("/")[2]

    @property
    def change(self) -> Change:
        """Without values."""
        kept = self.op == "delete" and self.old.get("retainOnDelete")
        paths = ("kept in the cluster (retainOnDelete)",) if kept else self.paths
        return Change(op=self.op, type=self.type, name=self.name, properties=paths)


@dataclass(slots=True)
class Said:
    """What one preview's engine said."""

    steps: list[Step] = field(default_factory=list)
    """Of the update, each resource once."""
    refreshed: list[Step] = field(default_factory=list)
    """Of the refresh before it, those that found a difference."""
    policy: list[Violation] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def step(self, kind: str) -> Step | None:
        """The step of the one resource of a kind; None if nothing is done to it."""
        return next((step for step in self.steps if step.kind == kind), None)


def said_by(events: Iterable[Mapping[str, Any]]) -> Said:
    """What an engine's events say."""
    said = Said()
    for event in events:
        if "resourcePreEvent" in event:
            step = _step(event["resourcePreEvent"]["metadata"])
            if step.op in _SHOWN and _counts(step):
                said.steps.append(step)
        elif "resOutputsEvent" in event:
            step = _step(event["resOutputsEvent"]["metadata"])
            if step.op == "refresh" and _counts(step) and step.old.get("outputs") != step.new.get("outputs"):
                said.refreshed.append(step)
        elif "policyEvent" in event:
            said.policy.append(_violation(event["policyEvent"]))
        elif event.get("diagnosticEvent", {}).get("severity") == "warning":
            said.warnings.append(_clipped(" ".join(str(event["diagnosticEvent"]["message"]).split())))
    return said


def _clipped(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}... ({len(text)} characters)"


def _step(metadata: Mapping[str, Any]) -> Step:
    detailed = metadata.get("detailedDiff") or {}
    return Step(
        op=str(metadata["op"]),
        type=str(metadata["type"]),
        name=str(metadata["urn"]).rpartition("::")[2],
        old=metadata.get("old") or {},
        new=metadata.get("new") or {},
        paths=tuple(sorted(detailed) or sorted(metadata.get("diffs") or ())),
    )


def _counts(step: Step) -> bool:
    """Whether it is a resource that a provider manages: no component, no provider."""
    return bool((step.new or step.old).get("custom")) and not step.type.startswith("pulumi:providers:")


def _violation(event: Mapping[str, Any]) -> Violation:
    return Violation(
        policy=str(event.get("policyName") or ""),
        level=str(event.get("enforcementLevel") or ""),
        resource=str(event.get("resourceUrn") or "").rpartition("::")[2],
        message=" ".join(str(event.get("message") or "").split()),
    )
