"""A program on a terminal of its own, and what its screen says beside Markdown."""

from __future__ import annotations

import errno
import fcntl
import html
import os
import pty
import re
import struct
import subprocess
import termios
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

_STYLES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\]8;.*?\x1b\\")
_RULE = re.compile(r"[─━]{3,}")
_ROWS = 50


def screen(words: Sequence[str], columns: int, *, cwd: Path, env: Mapping[str, str], code: int = 0) -> list[str]:
    """The lines that a program writes to a terminal of so many columns, without styles."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", _ROWS, columns, 0, 0))
    told = {**env, "TERM": "xterm-256color"}
    with subprocess.Popen(words, cwd=cwd, env=told, stdin=theirs, stdout=theirs, stderr=subprocess.PIPE) as process:
        os.close(theirs)
        said = b""
        while part := _read(ours):
            said += part
        complaint = process.stderr.read() if process.stderr else b""
    os.close(ours)
    assert process.returncode == code, complaint.decode()
    return _STYLES.sub("", said.decode()).replace("\r", "").splitlines()


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError as error:
        if error.errno == errno.EIO:  # how Linux tells that the other side is closed
            return b""
        raise


def of_screen(lines: Sequence[str]) -> tuple[str, Counter[str]]:
    """(text outside of tables, characters in tables), both without spaces.

    A table's columns are beside each other, so a cell that goes on in the next line is not in one piece: its
    characters are counted. A table ends with an empty line and its head begins after one.
    """
    prose, tables, block = "", Counter[str](), list[str]()
    for line in [*lines, ""]:
        if line.strip():
            block.append(line)
            continue
        text = _squeezed("".join(re.sub(r"^ • ", "", one) for one in block))
        if any(_RULE.search(one) for one in block):
            tables += Counter(_RULE.sub("", text))
        else:
            prose += text
        block = []
    return prose, tables


def of_markdown(text: str) -> tuple[str, Counter[str]]:
    """The same of a comment's Markdown."""
    prose, tables, fence = "", Counter[str](), ""
    for line in text.splitlines():
        if fence:
            prose, fence = (prose, "") if line == fence else (prose + _squeezed(line), fence)
        elif found := re.match(r"(`{3,})\w*$", line):
            fence = found[1]
        elif line.startswith("|"):
            tables += Counter(
                _squeezed("" if re.fullmatch(r"[|\-]+", line) else _plain(re.sub(r"(?<!\\)\|", "", line)))
            )
        elif not line.startswith("<!--"):
            prose += _squeezed(_plain(re.sub(r"^(?:#+|-) ", "", line)))
    return prose, tables


def _plain(line: str) -> str:
    return html.unescape(re.sub(r"\\(.)", r"\1", re.sub(r"\*\*|`", "", line)))


def _squeezed(text: str) -> str:
    return re.sub(r"\s+", "", text)
