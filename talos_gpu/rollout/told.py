"""What an engine says of an operation: its event log, and the words by which its failures are told apart."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from talos_gpu.rollout.errors import PulumiFailed
from talos_gpu.rollout.plan import Change
from talos_gpu.rollout.pulumi_cli import Pulumi, last_words, text_of
from talos_gpu.verify.report import NOT_PROVEN_YET

LOCKED = ("the stack is currently locked by", "[409] Conflict: Another update is currently in progress")
"""What the engine says when another holds a stack's lock: DIY backends, and the service (pulumi.automation.errors)."""
CONFLICT = "the object has been modified; please apply your changes to the latest version and try again"
"""What the API server says when a controller wrote an object between a provider's read and its write.

pulumi-kubernetes (await.go, fixCSAFieldManagers) does not try again by itself, at an object's first update after its
creation; right after a node's restart controllers write a lot.
"""
UNEXPECTED = "no changes were expected but changes were proposed"
"""What the engine says of a preview with --expect-no-changes; any other failure is one."""
_UNCHANGED = frozenset({"same", "read", "refresh", "read-replacement"})
_VERIFIED = "pulumi-python:dynamic/gpu:Verified"


@dataclass(slots=True)
class Told:
    """What one operation's engine told."""

    changes: list[Change] = field(default_factory=list)
    unproven: list[str] = field(default_factory=list)
    """Names of those changes that are only a proof which a busy encoder has put off (`verify: true`)."""
    errors: list[str] = field(default_factory=list)
    result: Mapping[str, int] = field(default_factory=dict)
    """How many resources were created, updated, left as they were."""


def previewed(pulumi: Pulumi, stack: str, folder: Path, *, refresh: bool) -> Told:
    """What an update of a stack would do, the engine's events in `folder` meanwhile.

    Raises PulumiFailed with what the engine said.
    """
    events, log = folder / f"{stack}.preview.events", folder / f"{stack}.preview.log"
    flags = ["--refresh"] if refresh else []
    try:
        code = pulumi.wait(pulumi.start(pulumi.words("preview", stack, events, *flags), log))
        told = read_events(events)
    finally:
        events.unlink(missing_ok=True)
    if code:
        raise PulumiFailed(f"preview --stack {stack}", cause(told, log))
    return told


def read_events(path: Path) -> Told:
    """What is in an engine's event log."""
    return told_by(events_in(path))


def told_by(events: Iterable[Mapping[str, Any]]) -> Told:
    """What an engine's events tell."""
    told = Told()
    for event in events:
        if "resourcePreEvent" in event:
            change = _change(event["resourcePreEvent"]["metadata"])
            if change is not None:
                told.changes.append(change)
                if _is_put_off(event["resourcePreEvent"]["metadata"]):
                    told.unproven.append(change.name)
        elif "diagnosticEvent" in event:
            if event["diagnosticEvent"].get("severity") == "error":
                told.errors.append(str(event["diagnosticEvent"]["message"]).strip())
        elif "summaryEvent" in event:
            told.result = event["summaryEvent"].get("resourceChanges") or {}
    told.changes.sort(key=lambda change: (change.name, change.type, change.op))  # the engine's order differs each time
    return told


def events_in(path: Path) -> Iterator[Mapping[str, Any]]:
    """The events in an engine's log but for debug messages; none if there is no log, a torn last line is left out."""
    if not path.exists():
        return
    with path.open("rb") as file:
        for line in file:
            if line.endswith(b"\n") and b'"severity":"debug"' not in line:
                yield json.loads(line)


def _change(metadata: Mapping[str, Any]) -> Change | None:
    op, kind = str(metadata["op"]), str(metadata["type"])
    if op in _UNCHANGED or kind == "pulumi:pulumi:Stack" or kind.startswith("pulumi:providers:"):
        return None
    detailed = metadata.get("detailedDiff") or {}
    paths = sorted(detailed) or sorted(metadata.get("diffs") or ())
    return Change(op=op, type=kind, name=str(metadata["urn"]).rpartition("::")[2], properties=tuple(paths))


def _is_put_off(metadata: Mapping[str, Any]) -> bool:
    """Whether a change is a `Verified` whose proof is put off, and nothing else of it differs."""
    if metadata["type"] != _VERIFIED or metadata["op"] != "update":
        return False
    drift = ((metadata.get("old") or {}).get("outputs") or {}).get("drift") or ()
    old, new = (((metadata.get(which) or {}).get("inputs") or {}) for which in ("old", "new"))
    return bool(drift) and old == new and all(str(found).startswith(NOT_PROVEN_YET) for found in drift)


def is_locked(text: str) -> bool:
    """Whether the engine says that another has the stack's lock."""
    return any(words in text for words in LOCKED)


def cause(told: Told, log: Path) -> str:
    """Why an operation failed, in its own last words."""
    return last_words("\n".join(told.errors)) if told.errors else last_words(text_of(log))
