"""The blocks that need no lab, run in page order in a copy of the project."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.docs.blocks import ROOT, Block, blocks
from tests.docs.given import GIVEN, SPEC
from tests.docs.running import Reader

PURE = [block for block in blocks() if block.shell and block.mark and block.mark.how == "pure"]
_LEFT_OUT = shutil.ignore_patterns(
    ".git", ".venv", ".tools", ".site", "__pycache__", ".*_cache", ".hypothesis", "fixtures"
)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout with its environment, where blocks may write."""
    target = tmp_path_factory.mktemp("docs") / "project"
    shutil.copytree(ROOT, target, ignore=_LEFT_OUT)
    for name in (".venv", ".tools"):
        (target / name).symlink_to(ROOT / name)
    return target


@pytest.mark.parametrize("page", list(dict.fromkeys(block.page for block in PURE)))
def test_the_blocks_of_a_page_do_what_it_says(page: str, project: Path, tmp_path: Path) -> None:
    reader = Reader(project, tmp_path / "home")
    for block in PURE:
        if block.page == page:
            assert block.mark
            if block.mark.given:
                reader.have(GIVEN[block.mark.given](project, tmp_path / "home"))
            reader.run(block)


@pytest.mark.parametrize("block", [b for b in blocks() if b.language == "python"], ids=lambda block: block.name)
def test_a_block_of_python_runs(block: Block) -> None:
    """`text` is a spec: what the page speaks of."""
    exec(compile(block.text, block.name, "exec"), {"text": SPEC.read_text()})
