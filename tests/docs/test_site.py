"""The documentation is built strictly, needs no network, and is looked at in a real browser."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from tests.docs.blocks import ROOT, pages
from tests.docs.conftest import STRICT, build
from tests.rollout.browser import look, screenshot

PICTURED = sorted(page for page in pages() if page.startswith("docs/") and re.search(r"!\[", (ROOT / page).read_text()))
OUTSIDE = [page for page in pages() if not page.startswith("docs/")]
_LOADED = re.compile(r"""<(?:script|img|iframe|source)[^>]+src="(?:https?:)?//|<link[^>]+href="(?:https?:)?//""")


def test_the_makefile_builds_as_strictly() -> None:
    [line] = [line for line in (ROOT / "Makefile").read_text().splitlines() if "-m sphinx" in line]
    assert all(word in line.split() for word in STRICT)


def test_every_page_is_built_and_has_its_title(site: Path) -> None:
    for page in (page for page in pages() if page.startswith("docs/")):
        title = re.search(r"^# (.+)$", (ROOT / page).read_text(), re.MULTILINE)
        built = site / Path(page).relative_to("docs").with_suffix(".html")
        assert title
        assert "<h1>" in built.read_text(), page


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[a](nowhere.md)", "nowhere.md"),
        ("[a](#nowhere)", "nowhere"),
        ("[a](other.md#nowhere)", "nowhere"),
        ("![a](nowhere.svg)", "nowhere.svg"),
    ],
)
def test_a_link_that_leads_nowhere_fails(tmp_path: Path, text: str, words: str) -> None:
    source = tmp_path / "project/docs"
    source.mkdir(parents=True)
    for name in ("docs/conf.py", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path / "project" / name)
    (source / "other.md").write_text("---\norphan: true\n---\n\n# Other\n")
    (source / "index.md").write_text(f"# Title\n\n{text}\n")
    done = build(source, tmp_path / "site")
    assert done.returncode != 0
    assert words in done.stderr


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    loaded = {path.name: found[0] for path in site.rglob("*.html") if (found := _LOADED.search(path.read_text()))}
    assert loaded == {}
    for sheet in site.rglob("*.css"):
        assert not re.search(r"url\([\"']?(https?:)?//|@import", sheet.read_text()), sheet.name


@pytest.mark.parametrize("page", PICTURED)
def test_a_page_with_pictures_is_seen_whole(site: Path, page: str) -> None:
    built = site / Path(page).relative_to("docs").with_suffix(".html")
    seen = look(built)
    assert seen["console"] == []
    assert seen["images"]
    assert all(image["width"] > 100 and image["alt"] for image in seen["images"]), seen["images"]
    assert [url for url in seen["fetched"] if not url.startswith("file:")] == []
    assert not seen["wide"]
    width, height, colours = screenshot(built, height=1600)
    assert (width, height) == (1200, 1600)
    assert len(colours) > 50


def test_a_telephone_shows_the_start_without_scrolling_sideways(site: Path) -> None:
    assert not look(site / "start.html", width=500)["wide"]


def test_what_the_browser_would_tell(tmp_path: Path) -> None:
    """A script that fails, a picture that is not there, and one from elsewhere are all seen."""
    page = tmp_path / "page.html"
    page.write_text('<body><img src="gone.png"><img src="http://outside.invalid/x.png"><script>null.x</script></body>')
    seen = look(page)
    assert any("TypeError" in line for line in seen["console"])
    assert [image["width"] for image in seen["images"]] == [0, 0]
    assert "http://outside.invalid/x.png" in seen["fetched"]


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as forges and MyST make them."""
    tokens = MarkdownIt("commonmark").parse(page.read_text())
    titles = [tokens[n + 1].content for n, token in enumerate(tokens) if token.type == "heading_open"]
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", OUTSIDE)
def test_links_of_pages_outside_the_documentation_lead_somewhere(page: str) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", (ROOT / page).read_text()):
        target, _, anchor = link.partition("#")
        path = (ROOT / page).parent / target if target else ROOT / page
        assert path.exists(), link
        assert not anchor or anchor in anchors(path), link
