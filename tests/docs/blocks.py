"""The shell blocks of the pages, and what each page says of them in the HTML comment before it.

    <!-- run: pure -->                    run by tests/docs/test_pure.py, in a copy of the project
    <!-- run: pure, given: cdi -->        ... with the files that tests/docs/given.py lays out beside it
    <!-- run: lab -->                     run by tests/lab/test_docs.py, in page order, on one lab
    <!-- run: lab, last -->               ... after all others
    <!-- run: lab, exit: 1 -->            ... and ends with that exit code
    <!-- run by: tests/lab/test_x.py -->  another test takes the same commands
    <!-- not run: why -->                 nobody does

A block of language `console` has commands behind `$ ` and what they print: `...` stands for anything, in a line or
as one.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[2]
SHELL = frozenset({"sh", "bash", "shell", "console"})
PROGRAMS = ("talos-gpu", "pulumi", "make", "kubectl", "talosctl", "python", "uv", "git", "curl", "cp", "tar", "$ ")
_MARK = re.compile(r"<!-- (run|run by|not run): (.+) -->")
_OPTION = re.compile(r"(last)|given: ([a-z-]+)|exit: (\d+)")


@dataclass(frozen=True, slots=True)
class Mark:
    """What a page says of a block: how it is run (`pure`, `lab`), by whom else, or why not."""

    how: str
    """`pure`, `lab`, `by` or `not`."""
    text: str = ""
    """With `by` a file, with `not` the reason."""
    given: str = ""
    last: bool = False
    exit: int = 0


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block of a page; `mark` is None where nothing is said of it."""

    page: str
    line: int
    language: str
    text: str
    mark: Mark | None

    @property
    def name(self) -> str:
        """Where it stands: `docs/start.md:12`."""
        return f"{self.page}:{self.line}"

    @property
    def shell(self) -> bool:
        """Whether it holds commands."""
        return self.language in SHELL

    def steps(self) -> list[tuple[str, str | None]]:
        """Its commands, each with what it is to print (None: not said). A `sh` block is one script."""
        if self.language != "console":
            return [(self.text, None)]
        assert self.text.startswith("$ "), f"{self.name}: begins with no command"
        parts = re.split(r"^\$ ", self.text, flags=re.MULTILINE)[1:]
        return [(command, said) for command, _, said in (part.partition("\n") for part in parts)]

    def commands(self) -> Iterator[list[str]]:
        """The words of every line that is a command, comments left out."""
        for script, _ in self.steps():
            for line in script.replace("\\\n", " ").splitlines():
                words = shlex.split(line, comments=True)
                if words:
                    yield words


def mark_of(comment: str, name: str) -> Mark | None:
    """Read the comment before a block; None if it is no mark. A mark that cannot be read is an AssertionError."""
    found = _MARK.fullmatch(comment.strip())
    if found is None:
        assert not re.match(r"<!-- *(not +)?run", comment), f"{name}: {comment.strip()!r} is no mark that is known"
        return None
    kind, text = found.groups()
    if kind != "run":
        return Mark("by" if kind == "run by" else "not", text)
    how, *options = text.split(", ")
    assert how in ("pure", "lab"), f"{name}: run {how!r}: neither pure nor lab"
    mark = Mark(how)
    for option in options:
        match = _OPTION.fullmatch(option)
        assert match, f"{name}: {option!r} is no option that is known"
        last, given, code = match.groups()
        mark = Mark(how, "", given or mark.given, bool(last) or mark.last, int(code or mark.exit))
    return mark


def blocks_of(page: str, text: str) -> list[Block]:
    """Every block of a page, in its order. A block that is made by indentation has the language `indented`."""
    found, before = [], ""
    for token in MarkdownIt("commonmark").parse(text):
        if token.type in ("fence", "code_block"):
            line = (token.map or [0])[0] + 1
            language = token.info.strip().split()[0] if token.info.strip() else ""
            if token.type == "code_block":
                language = "indented"
            found.append(Block(page, line, language, token.content, mark_of(before, f"{page}:{line}")))
        before = token.content if token.type == "html_block" else ""
    return found


def pages() -> list[str]:
    """README, then the documentation in the order of its contents, then what else people read."""
    index = (ROOT / "docs/index.md").read_text()
    listed = [
        f"docs/{line.strip()}.md"
        for block in blocks_of("docs/index.md", index)
        if block.language == "{toctree}"
        for line in block.text.splitlines()
        if line.strip() and not line.startswith(":")
    ]
    return [
        "README.md",
        "docs/index.md",
        *listed,
        "CONTRIBUTING.md",
        "SECURITY.md",
        "lab/README.md",
        "lab/gpu/README.md",
        "lab/node/README.md",
    ]


def blocks() -> list[Block]:
    """The blocks of all pages, in page order."""
    return [block for page in pages() for block in blocks_of(page, (ROOT / page).read_text())]
