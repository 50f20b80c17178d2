"""The stacks of one wave that wait for their start, in order, each cluster with its limit; every operation is cheap."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Mapping


class WaveQueue:
    """Hands out the first stack, in order, whose cluster has room.

    `limit`: unavailable stacks that a cluster may have; `down`: those that it has.
    """

    def __init__(self, limit: int, down: Mapping[str, int] | None = None) -> None:
        self._limit = limit
        self._down = dict(down or {})
        self._free: deque[str] = deque()
        self._waiting: dict[str, deque[tuple[int, str, bool]]] = {}
        self._heads: list[tuple[int, str]] = []
        self._listed: set[str] = set()
        self._next = 0
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def put(self, stack: str, cluster: str, *, down: bool, free: bool) -> None:
        """Add a stack at the end. `down`: it counts as unavailable already; `free`: its first step makes none so."""
        self._size += 1
        if free:
            self._free.append(stack)
            return
        self._waiting.setdefault(cluster, deque()).append((self._next, stack, down))
        self._next += 1
        self._list(cluster)

    def take(self) -> str | None:
        """The next stack that may start now; None if none may."""
        if self._free:
            self._size -= 1
            return self._free.popleft()
        while self._heads:
            _, cluster = heapq.heappop(self._heads)
            self._listed.discard(cluster)
            waiting = self._waiting[cluster]
            if waiting and self._room(cluster):
                self._size -= 1
                stack = waiting.popleft()[1]
                self._list(cluster)
                return stack
        return None

    def drain(self) -> list[str]:
        """Take everything out, whether it may start or not."""
        left = [*self._free, *(stack for waiting in self._waiting.values() for _, stack, _ in waiting)]
        self._free.clear()
        self._waiting.clear()
        self._heads.clear()
        self._listed.clear()
        self._size = 0
        return left

    def taken(self, cluster: str, down: int) -> None:
        """A cluster has `down` unavailable stacks now, one more than before."""
        self._down[cluster] = down

    def freed(self, cluster: str, down: int) -> None:
        """A cluster has `down` unavailable stacks now, one fewer than before."""
        self._down[cluster] = down
        self._list(cluster)

    def _room(self, cluster: str) -> bool:
        return self._waiting[cluster][0][2] or self._down.get(cluster, 0) < self._limit

    def _list(self, cluster: str) -> None:
        waiting = self._waiting.get(cluster)
        if waiting and cluster not in self._listed and self._room(cluster):
            heapq.heappush(self._heads, (waiting[0][0], cluster))
            self._listed.add(cluster)
