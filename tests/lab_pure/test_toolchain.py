"""The toolchain: keys follow sources, failures show the compiler's words, nothing half-built stays."""

from __future__ import annotations

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lab import toolchain, tools
from lab.errors import BuildFailed
from lab.toolchain import ensure
from lab.tools import Tool

MAIN = 'package main\n\nfunc main() { println("hello") }\n'


@pytest.fixture
def tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Tool]:
    """A one-file Go program that is all of the toolchain."""
    module = tmp_path / "lab" / "hello"
    module.mkdir(parents=True)
    (module / "go.mod").write_text("module hello\n\ngo 1.24\n")
    monkeypatch.setattr(tools, "PROJECT", tmp_path)
    monkeypatch.setenv("TALOS_LAB_CACHE", str(tmp_path / "cache"))
    found = Tool("hello", "1.0.0", "hello", (".",), ("hello",))
    monkeypatch.setattr(toolchain, "ALL_TOOLS", (found,))

    def with_source(text: str) -> Tool:
        (module / "main.go").write_text(text)
        return found

    return with_source


def test_a_program_is_built_once(tool: Callable[[str], Tool]) -> None:
    one = tool(MAIN)
    lines: list[str] = []
    folder = ensure([one], lines.append)
    assert (folder / "hello").stat().st_mode & 0o111
    assert re.fullmatch(r"\[1/1\] hello 1\.0\.0: building, \d+:\d\d min so far", lines[0])
    lines.clear()
    assert ensure([one], lines.append) == folder
    assert lines == []


def test_a_changed_source_is_another_build(tool: Callable[[str], Tool]) -> None:
    before = ensure([tool(MAIN)], lambda _: None)
    after = ensure([tool(MAIN.replace("hello", "changed"))], lambda _: None)
    assert before != after


def test_a_failed_build_shows_the_compiler_and_leaves_nothing(tool: Callable[[str], Tool], tmp_path: Path) -> None:
    with pytest.raises(BuildFailed, match="undefined: nothing"):
        ensure([tool("package main\n\nfunc main() { nothing() }\n")], lambda _: None)
    assert [path.name for path in (tmp_path / "cache" / "tools").iterdir()] == []


def test_two_commands_at_once_build_it_once(tool: Callable[[str], Tool]) -> None:
    one = tool(MAIN)
    lines: list[str] = []
    with ThreadPoolExecutor(2) as pool:
        folders = set(pool.map(lambda _: ensure([one], lines.append), range(2)))
    [folder] = folders
    assert (folder / "hello").exists()
    assert len([line for line in lines if ": building, " in line]) == 1
