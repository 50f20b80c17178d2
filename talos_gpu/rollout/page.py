"""The report as one HTML page that needs nothing else: no script, no style sheet, no picture from anywhere."""

from __future__ import annotations

from html import escape

from talos_gpu.rollout.report import Report, StackReport, StepReport, moment, number, speeds

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:72rem;padding:0 1rem;color:#1b1f24;background:#fff}
h1{font-size:1.4rem}h2{font-size:1.1rem;margin-top:2rem}table{border-collapse:collapse;width:100%}
th,td{text-align:left;padding:.3rem .6rem;border-bottom:1px solid #d8dee4;vertical-align:top}
code{background:#f3f4f6;padding:.1rem .3rem;border-radius:3px}.state{font-weight:600}
.done{color:#116329}.failed{color:#a40e26}.rolled-back,.interrupted{color:#8a5300}.held,.not-started{color:#57606a}
.wave{table-layout:fixed}.wave th:nth-child(1){width:16%}.wave th:nth-child(2){width:14%}
.wave th:nth-child(3){width:10%}td{overflow-wrap:anywhere}.why{white-space:pre-line}
.legend .bar{position:static;display:inline-block;width:1.2rem;height:.8rem;margin:0 .3rem 0 1rem}
.lane{position:relative;height:1.2rem;background:#f3f4f6}
.bar{position:absolute;top:.1rem;bottom:.1rem;min-width:2px;border-radius:2px;background:#4c8bf5}
.bar.gates,.bar.regate{background:#2da44e}.bar.soak{background:#bfd7ff}.bar.recheck{background:#8c959f}
.bar.rollback{background:#d29922}.bar.bad{background:#cf222e}
@media(prefers-color-scheme:dark){body{background:#0d1117;color:#e6edf3}th,td{border-color:#30363d}
code,.lane{background:#21262d}.done{color:#3fb950}.failed{color:#ff7b72}.rolled-back,.interrupted{color:#d29922}
.held,.not-started{color:#9198a1}}
"""


_STEPS = {"update": "update", "gates": "gates", "soak": "soak", "rollback": "rollback", "recheck": "seen again"}
_LEGEND = (
    '<p class="legend">'
    + "".join(f'<span class="bar {step}"></span>{words}' for step, words in _STEPS.items())
    + '<span class="bar bad"></span>failed</p>'
)


def page(report: Report) -> str:
    """The whole page."""
    outcome = report.outcome or "not ended"
    title = escape(f"Rollout of {report.fleet}: {outcome}")
    counted = ", ".join(f"{count} {state}" for state, count in report.counts.items())
    why = f"<p>Nothing more was started: {escape(report.why)}.</p>" if report.why else ""
    following = f"<p>Next: <code>{escape(report.next)}</code></p>" if report.next else ""
    waves = "".join(_wave(report, wave) for wave in report.waves)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width,initial-scale=1"><style>{_STYLE}</style></head><body>\n'
        f"<h1>{title}</h1>\n<p>{escape(counted)}. Commit <code>{escape(report.commit[:12])}</code>, plan "
        f"<code>{escape(report.plan[:12])}</code>, {moment(report.begun_at)} to {moment(report.ended_at)}.</p>\n"
        f"{why}{following}{_LEGEND}\n{waves}{_speeds(report)}{_causes(report)}</body></html>\n"
    )


def _wave(report: Report, wave: str) -> str:
    rows = "".join(_row(report, stack) for stack in report.stacks if stack.wave == wave)
    head = "<tr><th>stack</th><th>cluster</th><th>state</th><th>timeline</th></tr>"
    return f'<h2>{escape(wave)}</h2>\n<table class="wave">{head}{rows}</table>\n'


def _row(report: Report, stack: StackReport) -> str:
    bars = "".join(_bar(report, step) for step in stack.steps)
    state = f'<td class="state {escape(stack.state)}">{escape(stack.state)}</td>'
    name = f"<td>{escape(stack.name)}</td><td>{escape(stack.cluster)}</td>"
    return f'<tr>{name}{state}<td><div class="lane">{bars}</div></td></tr>\n'


def _bar(report: Report, step: StepReport) -> str:
    whole = max(report.ended_at - report.begun_at, 0.001)
    left = max(0.0, 100 * (step.ended_at - step.seconds - report.begun_at) / whole)
    width = min(100 - left, 100 * step.seconds / whole)
    classes = f"bar {escape(step.step)}{'' if step.ok else ' bad'}"
    gates = "; ".join(f"{answer['gate']} {answer['verdict']}" for answer in step.gates)
    said = (
        f"{step.step}, {step.seconds:g} s" + (f": {gates}" if gates else "") + (f": {step.cause}" if step.cause else "")
    )
    return f'<span class="{classes}" style="left:{left:.2f}%;width:{width:.2f}%" title="{escape(said)}"></span>'


def _speeds(report: Report) -> str:
    rows = "".join(
        f"<tr><td>{escape(stack.name)}</td><td>{escape(what)}</td><td>{number(before)}</td><td>{number(after)}</td>"
        f"<td>{escape(unit)}</td></tr>"
        for stack in report.stacks
        for what, before, after, unit in speeds(stack)
    )
    head = "<tr><th>stack</th><th>measured</th><th>before</th><th>after</th><th>unit</th></tr>"
    return f"<h2>Before and after</h2>\n<table>{head}{rows}</table>\n" if rows else ""


def _causes(report: Report) -> str:
    rows = "".join(
        f'<tr><td>{escape(stack.name)}</td><td class="state {escape(stack.state)}">{escape(stack.state)}</td>'
        f'<td class="why">{escape(stack.cause or stack.reason)}</td></tr>'
        for stack in report.stacks
        if stack.reason or stack.cause
    )
    head = "<tr><th>stack</th><th>state</th><th>why</th></tr>"
    return f"<h2>Why</h2>\n<table>{head}{rows}</table>\n" if rows else ""
