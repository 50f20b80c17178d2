"""A small SVG writer: horizontal bars with labels, legible on light and dark pages.

The drawing has a ground of its own and follows the reader's colour scheme (`prefers-color-scheme`), so that it does
not depend on the page's. Text is the browser's sans serif at fixed sizes; widths of words are estimated, generously.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

WIDTH, _LEFT, _RIGHT, _ROW, _TOP, _PAD = 800, 364, 206, 28, 62, 18
_PLOT = WIDTH - _LEFT - _RIGHT
_STYLE = """
    .ground { fill: #ffffff; stroke: #d0d7de }
    text { font: 13px system-ui, sans-serif; fill: #1f2328 }
    .title { font-size: 15px; font-weight: 600 }
    .quiet { fill: #59636e }
    .mark { stroke: #1f2328; stroke-width: 1.5 }
    .ours { fill: #1a7f37 } .theirs { fill: #9a6700 } .waits { fill: #d4a72c } .repair { fill: #cf222e }
    @media (prefers-color-scheme: dark) {
      .ground { fill: #0d1117; stroke: #3d444d }
      text { fill: #f0f6fc }
      .quiet { fill: #9198a1 }
      .mark { stroke: #f0f6fc }
      .ours { fill: #3fb950 } .theirs { fill: #d29922 } .waits { fill: #845306 } .repair { fill: #f85149 }
    }
  """


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a bar: how long, and of which class of the style (`ours`, `theirs`, `waits`, `repair`)."""

    value: float
    look: str


@dataclass(frozen=True, slots=True)
class Bar:
    """A line of the plot: its label, its pieces from left to right, and what is written beside it."""

    label: str
    parts: tuple[Part, ...]
    end: str


@dataclass(frozen=True, slots=True)
class Plot:
    """A plot of horizontal bars on one scale from zero; `described` says in words what it shows."""

    title: str
    described: str
    bars: Sequence[Bar]
    marks: Sequence[tuple[float, str]] = ()
    """Upright lines: where, and what is written above."""
    legend: Sequence[tuple[str, str]] = ()
    """Looks, and what each stands for."""


def svg(plot: Plot) -> str:
    """The plot as SVG text."""
    height = _TOP + _ROW * len(plot.bars) + _PAD + (_ROW if plot.legend else 0)
    longest = max([sum(part.value for part in bar.parts) for bar in plot.bars] + [at for at, _ in plot.marks])
    scale = _PLOT / longest if longest else 0.0
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"',
        '     role="img" aria-labelledby="title desc">',
        f'  <title id="title">{escape(plot.title)}</title>',
        f'  <desc id="desc">{escape(plot.described)}</desc>',
        f"  <style>{_STYLE}</style>",
        f'  <rect class="ground" x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="8"/>',
        _text(_PAD, 28, plot.title, "title"),
    ]
    for row, bar in enumerate(plot.bars):
        lines += _bar(bar, _TOP + row * _ROW, scale)
    bottom = _TOP + _ROW * len(plot.bars)
    for at, what in plot.marks:
        x = _LEFT + at * scale
        lines.append(f'  <line class="mark" x1="{x:.1f}" y1="{_TOP - 8}" x2="{x:.1f}" y2="{bottom}"/>')
        lines.append(_text(x, _TOP - 13, what, "quiet", anchor="middle"))
    lines += _legend(plot.legend, bottom + _PAD)
    return "\n".join([*lines, "</svg>", ""])


def _bar(bar: Bar, y: int, scale: float) -> list[str]:
    drawn = [_text(_LEFT - 10, y + 17, bar.label, "", anchor="end")]
    x = float(_LEFT)
    for part in bar.parts:
        width = part.value * scale
        drawn.append(f'  <rect class="{part.look}" x="{x:.1f}" y="{y + 4}" width="{width:.1f}" height="18"/>')
        x += width
    return [*drawn, _text(_LEFT + _PLOT + 10, y + 17, bar.end, "quiet")]


def _legend(legend: Sequence[tuple[str, str]], y: int) -> list[str]:
    drawn, x = [], _PAD
    for look, what in legend:
        drawn.append(f'  <rect class="{look}" x="{x}" y="{y}" width="12" height="12"/>')
        drawn.append(_text(x + 18, y + 11, what, "quiet"))
        x += 34 + len(what) * 7
    return drawn


def _text(x: float, y: float, text: str, look: str, anchor: str = "start") -> str:
    return f'  <text class="{look}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
