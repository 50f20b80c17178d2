"""For how long a CDI spec that must not be used could be read in a folder that containerd watches."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from lab.nodes import Node

PAUSE = 0.001
"""Seconds between two looks: what is shorter may not be seen."""
_LEAST = 100
"""Looks a second below which nothing can be told."""


@dataclass(frozen=True, slots=True)
class Sight:
    """One content of a file, None for no file, for the seconds from the first look at it to the first at another."""

    path: str
    content: bytes | None
    seconds: float


class Watch:
    """Reads files again and again, each change remembered with how long it lasted.

    Its thread is scheduled before all others where that is allowed: on a busy machine it would miss what it is for.
    """

    def __init__(self, paths: Sequence[str], read: Callable[[str], bytes | None]) -> None:
        self._paths, self._read = paths, read
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._poll, name="watch")
        self.sights: list[Sight] = []
        self.looks = 0
        self.first_in_line = True

    def _poll(self) -> None:
        try:
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
        except PermissionError:
            self.first_in_line = False
        now = time.monotonic()
        last = {path: (now, self._read(path)) for path in self._paths}
        while not self._ended.is_set():
            for path, (since, content) in last.items():
                found = self._read(path)
                if found != content:
                    now = time.monotonic()
                    self.sights.append(Sight(path, content, now - since))
                    last[path] = now, found
            self.looks += 1
            time.sleep(PAUSE)
        now = time.monotonic()
        self.sights += [Sight(path, content, now - since) for path, (since, content) in last.items()]

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def of(self, path: str, wanted: Callable[[bytes], bool]) -> list[float]:
        """The seconds of each time that `path` had a content that is `wanted`."""
        return [
            sight.seconds
            for sight in self.sights
            if sight.path == path and sight.content is not None and wanted(sight.content)
        ]


@contextmanager
def watching(node: Node, paths: Sequence[str]) -> Iterator[Watch]:
    """Watch files of a node through its boots; RuntimeError where there were too few looks to tell anything."""
    root = ""

    def read(path: str) -> bytes | None:
        nonlocal root
        while True:
            try:
                with open(root + path, "rb") as file:  # noqa: PTH123 - a Path costs as much as the read
                    return file.read()
            except (FileNotFoundError, ProcessLookupError):  # not there, or the node is in another boot
                now = f"/proc/{node.pid}/root"
                if now == root:
                    return None
                root = now

    began = time.monotonic()
    with Watch(paths, read) as watch:
        yield watch
    seconds = time.monotonic() - began
    if watch.looks < seconds * _LEAST:
        raise RuntimeError(f"{watch.looks} looks in {seconds:.0f} s are too few to tell anything")
