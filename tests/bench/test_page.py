"""The documentation's figures are what the published history says, to the byte, and its plots can be read."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from bench.history import PUBLISHED, loads, newest, runs
from bench.plots import plots
from bench.publish import DOCS, files, publish
from bench.svg import Bar, Part, Plot, svg
from tests.bench.samples import sample_run
from tests.rollout.browser import screenshot

SVG = "{http://www.w3.org/2000/svg}"
OURS, BY_HAND, REPAIR, TEXT = (26, 127, 55), (154, 103, 0), (207, 34, 46), (31, 35, 40)
"""Colours of the drawing on a light page."""
SAMPLE = files([sample_run()])
MADE = files(runs(PUBLISHED))


def test_the_documentation_is_made_from_the_published_history() -> None:
    assert {name: (DOCS / name).read_text() for name in MADE} == MADE
    assert {path.name for path in (DOCS / "plots").iterdir()} == {Path(name).name for name in MADE if "/" in name}


def test_publishing_writes_exactly_these_files(tmp_path: Path) -> None:
    written = publish(PUBLISHED, tmp_path)
    assert {str(path.relative_to(tmp_path)): path.read_text() for path in written} == MADE


@pytest.mark.parametrize("name", [name for name in MADE if name.endswith(".svg")])
@pytest.mark.parametrize("made", [MADE, SAMPLE], ids=["published", "sample"])
def test_a_plot_is_well_formed_and_says_in_words_what_it_shows(made: dict[str, str], name: str) -> None:
    root = ET.fromstring(made[name])
    assert root.tag == f"{SVG}svg"
    title, desc = root.find(f"{SVG}title"), root.find(f"{SVG}desc")
    assert title is not None and desc is not None
    assert title.text and desc.text
    assert {title.get("id"), desc.get("id")} == set((root.get("aria-labelledby") or "").split())
    assert "prefers-color-scheme: dark" in made[name]
    assert not re.search(r"<script|href=|url\(|@import", made[name])


@pytest.mark.parametrize("name", [name for name in MADE if name.endswith(".svg")])
@pytest.mark.parametrize("made", [MADE, SAMPLE], ids=["published", "sample"])
def test_nothing_is_drawn_beyond_the_ground(made: dict[str, str], name: str) -> None:
    root = ET.fromstring(made[name])
    width, height = float(root.get("width") or 0), float(root.get("height") or 0)
    for rect in root.iter(f"{SVG}rect"):
        x, y, w, h = (float(rect.get(key) or "nan") for key in ("x", "y", "width", "height"))
        assert 0 <= x <= x + w <= width, rect.attrib
        assert 0 <= y <= y + h <= height, rect.attrib
    for text in root.iter(f"{SVG}text"):
        x, letters = float(text.get("x") or "nan"), len(text.text or "") * 7.0
        end = text.get("text-anchor") == "end"
        middle = text.get("text-anchor") == "middle"
        left = x - letters if end else x - letters / 2 if middle else x
        assert left >= 0 and left + letters <= width, (text.text, left, letters)


def test_every_plot_of_the_page_is_there() -> None:
    for made in (MADE, SAMPLE):
        shown = re.findall(r"!\[[^\]]+\]\((plots/[^)]+)\)", made["benchmarks.md"])
        assert set(shown) == {name for name in made if name.endswith(".svg")}


def test_bars_are_to_one_scale() -> None:
    plot = Plot("t <&>", "d", [Bar("a", (Part(1, "ours"), Part(1, "theirs")), "x"), Bar("b", (Part(4, "ours"),), "y")])
    root = ET.fromstring(svg(plot))
    first, second, whole = (
        float(rect.get("width") or 0) for rect in root.iter(f"{SVG}rect") if rect.get("height") == "18"
    )
    assert first == second == pytest.approx(whole / 4, abs=0.1)
    title = root.find(f"{SVG}title")
    assert title is not None and title.text == "t <&>"


def test_a_figure_over_its_bar_is_drawn_so() -> None:
    root = ET.fromstring(SAMPLE["plots/bars.svg"])
    looks = [rect.get("class") for rect in root.iter(f"{SVG}rect") if rect.get("height") == "18"]
    assert looks == ["ours", "repair", "ours", "repair"]


def test_what_was_not_measured_is_not_drawn() -> None:
    run = sample_run()
    only_cdi = newest([type(run)(run.machine, run.areas[:1])])
    assert set(plots(only_cdi)) == {"bars"}


def test_the_page_of_the_sample() -> None:
    assert SAMPLE["benchmarks.md"] == (Path(__file__).with_name("sample.md")).read_text()


def test_where_the_way_by_hand_is_the_quicker_one_it_is_said() -> None:
    [said] = [line for line in SAMPLE["benchmarks.md"].splitlines() if line.startswith("**Less by hand")]
    assert "GPU broken after a reboot (5.00 s against 7.00 s)" in said
    assert "a person's steps" not in said


def test_a_sample_is_what_its_json_says() -> None:
    from bench.history import dumps

    assert files([loads(dumps(sample_run()))]) == SAMPLE


def test_a_browser_draws_the_plots_in_their_colours(tmp_path: Path) -> None:
    shown = [name for name in SAMPLE if name.endswith(".svg")]
    for name in shown:
        (tmp_path / Path(name).name).write_text(SAMPLE[name])
    page = tmp_path / "plots.html"
    page.write_text("".join(f'<p><img src="{Path(name).name}"></p>' for name in shown))
    _, _, colours = screenshot(page)
    assert {OURS, BY_HAND, REPAIR, TEXT} <= colours
