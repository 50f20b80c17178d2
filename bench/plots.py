"""The plots of the documentation, from the newest figures of each area."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from bench.figure import Amount, Beside, Figure, Row, Steps
from bench.history import Measured, Run
from bench.seed_rows import AFTER_REBOOT, AFTER_UPGRADE, AT_BOOT, HAND, OURS, TO_THE_WORKER
from bench.steps import WAIT_FOR_A_FINISHED_POD, Step
from bench.svg import Bar, Part, Plot, svg
from bench.words import counted, quantity

_LONGEST = 48
"""Letters of a label that fit."""


def plots(areas: Mapping[str, tuple[Run, Measured]]) -> dict[str, str]:
    """SVG text by name; a plot whose figures were not measured is left out."""
    rows = [row for _, measured in areas.values() for row in measured.rows]
    steps = {row.name: row.steps for row in rows if isinstance(row, Steps)}
    beside = {row.name: row for row in rows if isinstance(row, Beside)}
    drawn = {"bars": _bars(rows)}
    if all(name in steps for name in TO_THE_WORKER.values()):
        drawn["seed-way-time"] = _time({who: steps[name] for who, name in TO_THE_WORKER.items()})
    if AFTER_REBOOT in beside and all(name in steps for name in AFTER_UPGRADE.values()):
        upgrade = {who: steps[name] for who, name in AFTER_UPGRADE.items()}
        drawn["seed-way-broken"] = _broken(beside[AFTER_REBOOT], upgrade, beside[AT_BOOT].ours)
    return {name: svg(plot) for name, plot in drawn.items() if plot.bars}


def _bars(rows: Iterable[Row]) -> Plot:
    """How much of its bar each figure uses."""
    bars = []
    for row in rows:
        if not isinstance(row, Figure | Amount) or row.bar is None:
            continue
        used, unit = (row.ratio, "") if isinstance(row, Figure) else (row.value, f" {row.unit}")
        share = used / row.bar * 100
        end = f"{share:.0f} %: {used:.{2 if used < 10 else 0}f} of {row.bar:g}{unit}"
        look = "ours" if row.within else "repair"
        bars.append(Bar(_fitting(row.name), (Part(share, look),), end))
    over = sum(bar.parts[0].look == "repair" for bar in bars)
    return Plot(
        "How much of its bar each figure uses (less is better)",
        f"{len(bars)} figures with a bar, each as percent of the most that is allowed; {over} of them over it.",
        bars,
        marks=[(100.0, "the bar")],
    )


def _time(steps: Mapping[str, Sequence[Step]]) -> Plot:
    """Machine seconds to an encoding worker, and of what they are."""
    bars = []
    for who, taken in steps.items():
        waits = sum(step.seconds for step in taken if step.what == WAIT_FOR_A_FINISHED_POD)
        repairs = sum(step.seconds for step in taken if step.repair and step.what != WAIT_FOR_A_FINISHED_POD)
        whole = sum(step.seconds for step in taken)
        look = "ours" if who == OURS else "theirs"
        parts = (Part(whole - waits - repairs, look), Part(repairs, "repair"), Part(waits, "waits"))
        bars.append(Bar(who, parts, f"{quantity(whole, 's')}, {counted(len(taken), 'step')}"))
    return Plot(
        "From a bare node to an encoding worker: the machine's seconds",
        "; ".join(f"{bar.label}: {bar.end}" for bar in bars) + ". No reading, typing or thinking is in them.",
        bars,
        legend=[
            ("theirs", "by hand"),
            ("repair", "repairing what failed"),
            ("waits", "waiting for the generator's pod"),
            ("ours", OURS),
        ],
    )


def _broken(reboot: Beside, upgrade: Mapping[str, Sequence[Step]], automatic: float | None) -> Plot:
    """Seconds without a GPU after a reboot and after an upgrade of the driver."""
    bars = [
        Bar(f"after a reboot, {HAND}", (Part(reboot.theirs or 0, "theirs"),), quantity(reboot.theirs, "s")),
        Bar(f"after a reboot, {OURS}", (Part(reboot.ours or 0, "ours"),), quantity(reboot.ours, "s")),
    ]
    for who, steps in upgrade.items():
        seconds = sum(step.seconds for step in steps)
        end = f"{quantity(seconds, 's')}, {counted(len(steps), 'step')}"
        bars.append(Bar(f"after a driver upgrade, once at it, {who}", (Part(seconds, "repair"),), end))
    at_boot = f"after a driver upgrade, {OURS} at boot"
    bars.append(Bar(at_boot, (Part(automatic or 0, "ours"),), quantity(automatic, "s")))
    return Plot(
        "How long the GPU is broken, from the node's Ready on",
        "; ".join(f"{bar.label}: {bar.end}" for bar in bars) + ".",
        bars,
        legend=[("theirs", HAND), ("ours", OURS), ("repair", "only once a person acts")],
    )


def _fitting(name: str) -> str:
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1].rstrip()}…"
