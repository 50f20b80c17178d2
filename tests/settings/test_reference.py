"""docs/settings.md is what the models say."""

from __future__ import annotations

from pathlib import Path

from talos_gpu.settings.reference import COSTS, EXAMPLES, page, paths

PROJECT = Path(__file__).parents[2]


def test_the_page_is_made_from_the_models() -> None:
    assert (PROJECT / "docs/settings.md").read_text() == page()


def test_every_cost_is_of_a_key() -> None:
    assert set(COSTS) <= {path for path, _ in paths()}


def test_the_readme_leads_to_the_page() -> None:
    assert "(docs/settings.md)" in (PROJECT / "README.md").read_text()


def test_every_key_is_explained() -> None:
    assert [path for path, field in paths() if not field.description or not field.title] == []


def test_an_example_is_one_of_its_key() -> None:
    assert set(EXAMPLES) <= {path for path, _ in paths()}
    shown = [line for line in page().splitlines() if line == "- example: `Quadro P2000`"]
    assert len(shown) == 1, "another key than node.gpu.model shows a GPU"
