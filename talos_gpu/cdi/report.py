"""Changes for people and programs: short text, Markdown, JSON."""

from __future__ import annotations

from collections.abc import Sequence

from talos_gpu.cdi.compare import DRIVER, Change, ChangeKind

EMPTY = "(empty)"
# how many places of one and the same change are named on its line
MOST_PLACES = 4
# beyond this many words only those that differ are shown
MOST_WORDS = 12
LONGEST = 240
_SIGNS = {ChangeKind.ADDED: "+", ChangeKind.REMOVED: "-", ChangeKind.CHANGED: "~"}


def render(changes: Sequence[Change]) -> str:
    """One short line a change; a change that is the same in many places is one line. "" for no changes."""
    return "".join(
        f"{_SIGNS[kind]} {_places(paths)}" + (f": {value}\n" if value else "\n")
        for kind, paths, value in _grouped(changes)
    )


def render_markdown(changes: Sequence[Change]) -> str:
    """A table with a row a change, grouped as in `render`; a sentence for no changes."""
    if not changes:
        return "No change for containers.\n"
    rows = "".join(
        f"| {kind} | {_cell(_places(paths))} | {_cell(value)} |\n" for kind, paths, value in _grouped(changes)
    )
    return f"| Change | Where | What |\n|---|---|---|\n{rows}"


def as_json(changes: Sequence[Change]) -> list[dict[str, object]]:
    """Each change with its place in parts, ungrouped and unshortened."""
    return [
        {
            "change": str(change.kind),
            "device": change.place.device,
            "element": change.place.element,
            "name": change.place.name,
            "field": change.place.field,
            "old": change.old,
            "new": change.new,
            "count": change.count,
        }
        for change in changes
    ]


def _grouped(changes: Sequence[Change]) -> list[tuple[ChangeKind, list[str], str]]:
    """(kind, places, value) of changes that are the same at several places, in the order of their first."""
    lines: dict[tuple[ChangeKind, str, str], list[str]] = {}
    for change in changes:
        value = _value(change)
        # what came or went without a value of its own gets a line of its own
        lines.setdefault((change.kind, value, "" if value else change.path), []).append(change.path)
    return [(kind, paths, value) for (kind, value, _), paths in lines.items()]


def _value(change: Change) -> str:
    if change.kind is not ChangeKind.CHANGED:
        return _clipped(change.old or change.new)
    if change.place.element == DRIVER:
        return f"{change.old} -> {change.new} in {change.count} elements"
    return _changed(change.old, change.new)


def _changed(old: str, new: str) -> str:
    was, now = old.split(), new.split()
    if len(was) + len(now) <= MOST_WORDS:
        return f"{_clipped(old) or EMPTY} -> {_clipped(new) or EMPTY}"
    gone = [f"-{word}" for word in was if word not in now]
    came = [f"+{word}" for word in now if word not in was]
    return _clipped(" ".join((*gone, *came))) or "in another order"


def _clipped(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}... ({len(text)} characters)"


def _places(paths: Sequence[str]) -> str:
    hidden = len(paths) - MOST_PLACES
    return ", ".join(paths[:MOST_PLACES]) + (f" and {hidden} more" if hidden > 0 else "")


def _cell(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ").replace("`", "\\`")
    return escaped.replace("<", "&lt;")
