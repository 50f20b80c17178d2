"""A preview as one Markdown comment, below a size whatever the fleet: the largest changes first, the rest counted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from talos_gpu.preview.limits import LIMIT, SMALLEST
from talos_gpu.preview.model import OPS, Preview, Reboot, StackPreview
from talos_gpu.preview.section import cell, section
from talos_gpu.rollout.report import counted

MARKER = "<!-- talos-gpu preview -->"
"""By it a workflow finds its comment again."""
_SHORT = 12
_REASON = 80
"""Characters of a reboot's reason in the table."""
_ROWS = 0.4
"""Of what is left beside head and foot, so much is for the table."""
_COLUMNS = ("stack", "create", "update", "replace", "delete", "reboot", "GPU workloads restarted", "CDI spec", "policy")


def markdown(preview: Preview, limit: int = LIMIT) -> str:
    """The comment; at most `limit` bytes of UTF-8 (at least SMALLEST)."""
    limit = max(limit, SMALLEST)
    head, foot = "\n".join(_head(preview)) + "\n", "\n".join(_foot(preview)) + "\n"
    order = sorted(preview.stacks, key=_weight)
    left = limit - _size(head) - _size(foot)
    table = _table(order, int(left * _ROWS) if any(map(_worth, order)) else left)
    left -= _size(table)
    sections, hidden = [], 0
    for stack in filter(_worth, order):
        text = "" if hidden else section(stack, left - 200)
        if text:
            sections.append(text)
            left -= _size(text)
        else:
            hidden += 1
    more = f"\nDetails of {counted(hidden, 'more stack')} do not fit here: run `talos-gpu preview` yourself.\n"
    return head + table + "".join(sections) + (more if hidden else "") + foot


def _size(text: str) -> int:
    return len(text.encode())


def _weight(stack: StackPreview) -> tuple[object, ...]:
    rank = {"yes": 0, "refused": 0, "possible": 1, "unknown": 1, "no": 2}[stack.reboot.verdict]
    size = len(stack.changes) + len(stack.spec.changes) + stack.machine_config.diff.count("\n")
    return not stack.blocked, rank, -size, stack.name


def _worth(stack: StackPreview) -> bool:
    return bool(stack.blocked or stack.changes or stack.drift or stack.policy)


def _head(preview: Preview) -> Iterator[str]:
    changed, blocked = sum(bool(stack.changes) for stack in preview.stacks), list(preview.blocked)
    yield MARKER
    yield f"# GPU preview: {counted(len(preview.stacks), 'stack')}, {changed} with changes"
    yield ""
    if blocked:
        yield f"**{counted(len(blocked), 'stack')} cannot be updated as it is:** see the first below."
        yield ""
    dirty = "" if preview.clean else ", with uncommitted changes"
    yield f"Commit `{preview.commit[:_SHORT]}`{dirty}. Hash `{preview.hash}`."
    yield ""
    if preview.hash_of == "rollout":
        yield f"An approval binds to it: `talos-gpu rollout approve {preview.hash[:_SHORT]}` takes no other plan."
    else:
        yield (
            "The hash is of these stacks alone. An approval binds to the hash of a whole rollout: preview all stacks "
            "of its rollout.yaml."
        )
    yield ""


def _foot(preview: Preview) -> Iterator[str]:
    yield ""
    yield "## What this rests on"
    yield ""
    yield "- **The engine**: which resources are created, updated, replaced or deleted, from the program and the state."
    yield (
        "- **This program**: machine config, reboot and CDI differences, computed from what was applied last. "
        "Neither node nor cluster was asked."
        if not preview.refreshed
        else "- **Nodes and cluster, refreshed**: drift. Machine config, reboot and CDI differences are computed "
        "from what was applied last."
    )
    if preview.stand_ins:
        named = ", ".join(preview.stand_ins)
        yield f"- **Only the lab's stand-in plugins** ({named}) said which fields differ and what a change replaces."
    else:
        yield "- **The official plugins** said which fields differ and what a change replaces."
    pack = f"Policy pack `{preview.policy_pack.rpartition('/')[2]}` was run." if preview.policy_pack else ""
    yield f"- {pack or 'No policy pack was run.'}"


def _table(stacks: Sequence[StackPreview], room: int) -> str:
    lines = [f"| {' | '.join(_COLUMNS)} |", f"|{'---|' * len(_COLUMNS)}"]
    spent = sum(_size(line) + 1 for line in lines) + 200
    shown = 0
    for stack in stacks:
        row = _row(stack)
        if shown and spent + _size(row) + 1 > room:
            break
        lines.append(row)
        spent += _size(row) + 1
        shown += 1
    rest = stacks[shown:]
    if rest:
        sums = [str(sum(stack.count(op) for stack in rest)) for op in OPS]
        reboots = sum(stack.reboot.verdict != "no" for stack in rest)
        restarts, spec = sum(len(stack.restarts) for stack in rest), sum(stack.spec.known != "same" for stack in rest)
        policy = sum(len(stack.policy) for stack in rest)
        cells = [f"and {len(rest)} more", *sums, f"{reboots} not no", str(restarts), f"{spec} change", str(policy)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _why(reboot: Reboot) -> str:
    """The verdict and its first reason; the section has them all."""
    if reboot.verdict == "no":
        return "no"
    first = reboot.reasons[0] if reboot.reasons else ""
    short = first if len(first) <= _REASON else f"{first[:_REASON]}..."
    more = f" and {len(reboot.reasons) - 1} more" if len(reboot.reasons) > 1 else ""
    return f"**{reboot.verdict}**" + (f": {short}{more}" if short else "")


def _row(stack: StackPreview) -> str:
    if stack.faults:
        return f"| {cell(stack.name)} | {' | '.join('-' * 4)} | unknown | unknown | unknown | **cannot be previewed** |"
    reboot = _why(stack.reboot)
    mandatory = sum(found.level == "mandatory" for found in stack.policy)
    policy = f"**{mandatory} refused**" if mandatory else str(len(stack.policy) or "-")
    spec = (
        stack.spec.known
        if stack.spec.known not in ("known", "predicted")
        else counted(len(stack.spec.changes), "change")
    )
    cells = [stack.name, *(str(stack.count(op)) for op in OPS), reboot, ", ".join(stack.restarts) or "-", spec, policy]
    return f"| {' | '.join(map(cell, cells))} |"
