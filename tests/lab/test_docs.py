"""The documentation's blocks that need the lab, run in page order on one lab, as a reader types them.

The lab is the one that `make up` of the README brings up, in a home of its own: a reader's own lab is never met.
"""

from __future__ import annotations

import json
import re
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


LAB_FOLDER = "~/.local/state/talos-nvidia-lab/lab"
LOCK = f"{LAB_FOLDER}/pulumi-state/.pulumi/locks/organization/talos-nvidia-cdi/lab/of-another-machine.json"
SEEN = f"""\
cat {LAB_FOLDER}/nodes/lab-1/run/boot_id
python -m lab kubectl get pods -A -o jsonpath='{{range .items[*]}}{{.metadata.name}} {{.metadata.uid}}{{"\\n"}}{{end}}'
"""


def verdicts(reader: Reader, code: int = 0) -> dict[str, str]:
    """The claims' verdicts by their names, as a program reads them."""
    report = json.loads(reader.said("python -m lab report --json", code))
    return {claim["id"]: claim["verdict"] for claim in report["claims"]}


def test_the_first_brings_the_lab_up_and_the_last_leaves_nothing(reader: Reader) -> None:
    assert IN_ORDER[0].text.split() == ["make", "up"]
    assert IN_ORDER[-1].text.split() == ["make", "down"]
    reader.run(IN_ORDER[0])
    assert "failed" not in verdicts(reader).values()


def test_of_an_up_that_fails_the_report_says_so(reader: Reader) -> None:
    lock = {"pid": 1, "username": "somebody", "hostname": "another-machine", "timestamp": "2026-01-01T00:00:00Z"}
    reader.said(f"mkdir -p $(dirname {LOCK}); echo '{json.dumps(lock)}' >{LOCK}")
    assert "the stack is currently locked by 1 lock(s)" in reader.said("make up", 2)
    assert verdicts(reader, 1) == {"up": "failed"}
    reader.said(f"rm {LOCK}")


def test_make_up_mends_what_has_moved(reader: Reader) -> None:
    reader.said("python -m lab kubectl delete runtimeclass nvidia-cdi")
    reader.said("make up")
    reader.said("python -m lab kubectl get runtimeclass nvidia-cdi")
    assert "failed" not in verdicts(reader).values()


def test_make_up_run_again_changes_nothing(reader: Reader) -> None:
    before = reader.said(SEEN)
    said = reader.said("make up")
    assert ": building" not in said, said
    summaries = re.findall(r"Resources:\n((?: +[~+-]? *\d+ .*\n)+)", said)
    assert summaries, said
    assert all(re.fullmatch(r" +\d+ unchanged\n", summary) for summary in summaries), summaries
    assert reader.said(SEEN) == before
    assert "failed" not in verdicts(reader).values()


@pytest.mark.parametrize("block", IN_ORDER[1:], ids=[block.name for block in IN_ORDER[1:]])
def test_a_block_does_what_its_page_says(block: Block, reader: Reader) -> None:
    reader.run(block)


def test_no_block_has_written_into_the_checkout() -> None:
    """`pulumi` puts a salt into the stack file that it is given: the lab's own, not the template."""
    assert TEMPLATE.read_text() == BEFORE
