"""One stack's part of the comment, cut to the room that there is."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from talos_gpu import cdi
from talos_gpu.preview.model import StackPreview
from talos_gpu.rollout.plan import Change

_FENCE = re.compile(r"`{3,}")
_PATHS = 6
"""How many property paths of one resource are named."""
_SMALLEST = 600
"""Bytes below which a section says too little."""


def cell(text: str) -> str:
    """A text that is one cell or one line, whatever is in it."""
    escaped = text.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")
    return escaped.replace("@", "@\u2060")  # what a pull request brings must notify nobody


def section(stack: StackPreview, room: int) -> str:
    """The stack's part in at most `room` bytes, its longest blocks cut; "" if there is no room for it."""
    if room < _SMALLEST:
        return ""
    blocks = [f"\n## {cell(stack.name)}\n", *_blocks(stack, room)]
    text = "\n".join(blocks)
    while len(text.encode()) > room:
        longest = max(range(len(blocks)), key=lambda index: len(blocks[index]))
        shorter = _halved(blocks[longest])
        if len(shorter) >= len(blocks[longest]):
            return ""
        blocks[longest] = shorter
        text = "\n".join(blocks)
    return text


def _halved(block: str) -> str:
    """A block with half of its lines, and how many were left out."""
    lines = block.rstrip("\n").split("\n")
    fenced = lines[-1] if _FENCE.fullmatch(lines[-1]) else ""
    body = lines[:-1] if fenced else lines
    left = 0
    if found := re.fullmatch(r"\.\.\. (\d+) more lines", body[-1]):
        left, body = int(found[1]), body[:-1]
    keep = max(4, len(body) // 2)
    return "\n".join([*body[:keep], f"... {left + len(body) - keep} more lines", *([fenced] if fenced else [])]) + "\n"


def _blocks(stack: StackPreview, room: int) -> Iterator[str]:
    if stack.faults:
        yield "\n".join(["**Cannot be previewed:**", "", *_fenced("\n".join(stack.faults)[:room], "")]) + "\n"
        return
    if stack.policy:
        found = sorted(stack.policy, key=lambda item: item.level != "mandatory")
        lines = [f"- **{item.level}** {item.policy}, {cell(item.resource)}: {cell(item.message)}" for item in found]
        yield "\n".join(["**Policy**", "", *lines]) + "\n"
    reasons = "; ".join(stack.reboot.reasons)
    yield f"**Reboot: {stack.reboot.verdict}**" + (f": {cell(reasons)}." if reasons else ".") + "\n"
    if stack.restart_reasons:
        yield f"**Worker restarts**: {cell('; '.join(stack.restart_reasons))}.\n"
    yield from _spec(stack)
    yield from _config(stack)
    if stack.drift:
        lines = [f"- {cell(item.name)}: {cell(fact)}" for item in stack.drift for fact in item.found]
        told = (
            "The update mends it too: what else is listed may be for that. Without `--refresh` it is the change alone."
        )
        yield "\n".join(["**Drift, found by the refresh; not part of this change**", "", *lines, "", told]) + "\n"
    if stack.changes:
        yield "\n".join(["**Resources**", "", *(_resource(change) for change in stack.changes)]) + "\n"
    if stack.warnings:
        yield "\n".join(["**Warnings**", "", *(f"- {cell(warning)}" for warning in stack.warnings)]) + "\n"


def _resource(change: Change) -> str:
    paths, kind = change.properties, change.type.rpartition(":")[2].rpartition("/")[2]
    more = f" and {len(paths) - _PATHS} more" if len(paths) > _PATHS else ""
    shown = ", ".join(f"`{path.replace('`', '')}`" for path in paths[:_PATHS])
    return f"- {change.op} {kind} {cell(change.name)}" + (f": {shown}{more}" if shown else "")


def _spec(stack: StackPreview) -> Iterator[str]:
    spec = stack.spec
    if spec.known in ("same", "none") and not spec.note:
        return
    title = f"**CDI spec: {'predicted' if spec.known == 'predicted' else spec.known}**"
    yield f"{title}" + (f": {spec.note}." if spec.note else ".") + "\n"
    if spec.changes:
        yield cdi.render_markdown(
            [
                cdi.Change(cdi.ChangeKind(item.change), cdi.Place(item.path), item.old, item.new, item.count)
                for item in spec.changes
            ]
        )


def _config(stack: StackPreview) -> Iterator[str]:
    config = stack.machine_config
    if config.known == "same":
        return
    yield "**Machine config**" + (f": {config.note}." if config.note else ".") + "\n"
    if config.diff:
        yield "\n".join(_fenced(config.diff, "diff")) + "\n"


def _fenced(text: str, language: str) -> Sequence[str]:
    longest = max((len(found) for found in _FENCE.findall(text)), default=2)
    fence = "`" * max(3, longest + 1)
    return [f"{fence}{language}", *text.rstrip("\n").split("\n"), fence]
