"""The documentation's blocks that need the lab, run in page order on one lab, as a reader types them.

The lab is the one that `make up` of the README brings up, in a home of its own: a reader's own lab is never met.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.paths import cache_root
from tests.docs.blocks import ROOT, Block, blocks
from tests.docs.running import Reader

pytestmark = pytest.mark.lab

LAB = [block for block in blocks() if block.shell and block.mark and block.mark.how == "lab"]
TEMPLATE = ROOT / "Pulumi.lab.yaml"
BEFORE = TEMPLATE.read_text()
IN_ORDER = sorted(LAB, key=lambda block: bool(block.mark and block.mark.last))


@pytest.fixture(scope="module")
def reader(binaries: Path) -> Iterator[Reader]:
    """A shell in the checkout, with a home where the lab keeps itself; built programs are the machine's."""
    with tempfile.TemporaryDirectory(prefix="docs-") as home:  # short: the lab's sockets lie below it
        shell = Reader(ROOT, Path(home), {"TALOS_LAB_CACHE": str(cache_root()), "UV_OFFLINE": "1"})
        try:
            yield shell
        finally:
            shell.end_lab()


@pytest.mark.parametrize("block", IN_ORDER, ids=[block.name for block in IN_ORDER])
def test_a_block_does_what_its_page_says(block: Block, reader: Reader) -> None:
    reader.run(block)


def test_the_first_brings_the_lab_up_and_the_last_leaves_nothing() -> None:
    assert IN_ORDER[0].text.split() == ["make", "up"]
    assert IN_ORDER[-1].text.split() == ["make", "down"]


def test_no_block_has_written_into_the_checkout() -> None:
    """`pulumi` puts a salt into the stack file that it is given: the lab's own, not the template."""
    assert TEMPLATE.read_text() == BEFORE
