"""Every block of the pages says its language; every shell block is run, or says why not."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest

from tests.docs.blocks import PROGRAMS, ROOT, Block, blocks, blocks_of, pages
from tests.docs.given import GIVEN
from tests.docs.running import like

BLOCKS = blocks()
SHELL = [block for block in BLOCKS if block.shell]


def faults(block: Block) -> list[str]:
    """What is wrong with a block; everything at once."""
    found = []
    if block.language in ("", "indented"):
        found.append("has no language: say sh, console, or text where nothing is to be typed")
    if not block.shell and any(line.startswith(PROGRAMS) for line in block.text.splitlines()):
        found.append("has commands and is no shell block: nobody runs it")
    if not block.shell:
        return found if block.mark is None else [*found, "has a mark and is no shell block"]
    if block.mark is None:
        return [*found, "is neither run nor marked as not run"]
    if block.mark.how == "not" and len(block.mark.text.split()) < 3:
        found.append("says no reason why it is not run")
    if block.mark.given and block.mark.given not in GIVEN:
        found.append(f"given {block.mark.given!r}: tests/docs/given.py has it not")
    if block.mark.how == "by":
        found += _elsewhere(block, ROOT / block.mark.text)
    return found


def _elsewhere(block: Block, path: Path) -> list[str]:
    """The file that is said to run a block is there and has each command's plain words and its options."""
    if not path.is_file():
        return [f"{path.relative_to(ROOT)} is not there"]
    text = path.read_text()
    told = path.relative_to(ROOT)
    return [
        f"{told} does not speak of {word}: {' '.join(words)}"
        for words in block.commands()
        for word in _spoken(words)
        if not re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", text)
    ]


def _spoken(words: list[str]) -> list[str]:
    """Of a command: the verbs up to its first argument, and its options without their values."""
    verbs = itertools.takewhile(lambda word: re.fullmatch(r"[a-z]+(-[a-z]+)*", word), words[1:])
    return [*verbs, *(word.partition("=")[0] for word in words[1:] if word.startswith("--"))]


def test_every_page_of_the_documentation_is_in_its_contents() -> None:
    assert {path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md")} <= set(pages())


@pytest.mark.parametrize("page", pages())
def test_every_block_is_run_or_says_why_not(page: str) -> None:
    told = [f"{block.name}: {fault}" for block in BLOCKS if block.page == page for fault in faults(block)]
    assert told == []


def test_most_are_run() -> None:
    """What is not run by anybody needs a thing that cannot be had here; the number only goes down."""
    not_run = [block.name for block in SHELL if block.mark and block.mark.how == "not"]
    assert len(not_run) <= 0.35 * len(SHELL), not_run


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("```sh\nmake up\n```\n", "is neither run nor marked as not run"),
        ("<!-- not run: secret -->\n\n```sh\nmake up\n```\n", "says no reason why it is not run"),
        ("```\nmake up\n```\n", "has no language"),
        ("```text\ntalos-gpu doctor lab\n```\n", "has commands and is no shell block"),
        ("<!-- run by: tests/nowhere.py -->\n\n```sh\nmake up\n```\n", "tests/nowhere.py is not there"),
        ("<!-- run by: .ci/run -->\n\n```sh\nmake fuzz\n```\n", "does not speak of fuzz: make fuzz"),
        ("<!-- run: pure, given: nothing -->\n\n```sh\ntrue\n```\n", "has it not"),
        ("<!-- run: pure -->\n\nWords between.\n\n```sh\nmake up\n```\n", "is neither run nor marked as not run"),
    ],
)
def test_a_block_that_escapes_is_found(text: str, fault: str) -> None:
    [block] = blocks_of("page.md", text)
    assert any(fault in told for told in faults(block)), faults(block)


@pytest.mark.parametrize("mark", ["run: often", "run: lab, twice", "run, lab", "not run"])
def test_a_mark_that_cannot_be_read_is_refused(mark: str) -> None:
    with pytest.raises(AssertionError, match=r"page\.md:3"):
        blocks_of("page.md", f"<!-- {mark} -->\n\n```sh\nmake up\n```\n")


def test_what_is_printed_is_compared() -> None:
    assert like("a\nb\nc\n", "a\n...\nc\n")
    assert like("took 1.5 s\n", "took ... s\n")
    assert like("", "")
    assert not like("a\nb\n", "a\n")
    assert not like("took 1.5 min\n", "took ... s\n")
    assert not like("", "a\n")
