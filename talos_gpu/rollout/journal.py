"""The journal: JSON lines, appended and synced one by one, so that a kill at any moment loses no finished step."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from talos_gpu.rollout.errors import JournalCorrupt
from talos_gpu.rollout.records import Record


class Journal:
    """Appends to one file. A last line without its end, which a crash leaves, is cut off when it is opened."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._cut_torn_line()
        _sync_folder(path.parent)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def write(self, record: Record) -> None:
        """Append one record; it is on the disk when this returns."""
        line = json.dumps(record.document(), separators=(",", ":"), ensure_ascii=False).encode() + b"\n"
        view = memoryview(line)
        while view:
            view = view[os.write(self._file, view) :]
        os.fdatasync(self._file)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def _cut_torn_line(self) -> None:
        content = self._path.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole != len(content):
            os.ftruncate(self._file, whole)
            os.fsync(self._file)


def read(path: Path) -> Iterator[Record]:
    """The records, oldest first; a torn last line is left out. Raises JournalCorrupt with the line's number."""
    if not path.exists():
        return
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.endswith(b"\n"):
                return
            try:
                yield Record.of(json.loads(line))
            except (ValueError, KeyError, TypeError) as error:
                raise JournalCorrupt(path, number, f"is no record ({type(error).__name__}: {error})") from None


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
