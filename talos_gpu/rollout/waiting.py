"""How a built-in gate waits: it looks until the answer is final, its time is over, or nobody wants it any more."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from talos_gpu.kube.errors import ClusterUnreachable
from talos_gpu.rollout.gates import Asked, Said, Verdict
from talos_gpu.talos.errors import Unreachable

POLL_S = 0.5
"""Seconds between two looks."""
LOOK_S = 10.0
"""Seconds that a look may always take: cut off because the time is over, it would tell nothing."""


@dataclass(frozen=True, slots=True)
class NotYet:
    """An answer that may change by itself; it holds if it is still so when the time is over."""

    said: Said


def wait(asked: Asked, look: Callable[[], Awaitable[Said | NotYet]], poll_s: float = POLL_S) -> Said:
    """Look until there is an answer; a node or a cluster that does not answer is looked for again.

    The last look begins when the time is over, and may take LOOK_S longer. What else `look` raises is raised: a refusal
    does not pass by waiting.
    """
    return asyncio.run(_wait(asked, look, poll_s))


async def _wait(asked: Asked, look: Callable[[], Awaitable[Said | NotYet]], poll_s: float) -> Said:
    until = time.monotonic() + asked.timeout_s
    seen = NotYet(Said(Verdict.UNKNOWN, cause="there was no answer"))
    while True:
        try:
            async with asyncio.timeout(max(LOOK_S, until - time.monotonic())):
                found = await look()
        except TimeoutError:
            found = seen
        except (Unreachable, ClusterUnreachable) as error:
            found = NotYet(Said(Verdict.UNKNOWN, cause=error.message, remedy=error.remedy))
        if isinstance(found, Said):
            return found
        seen = found
        if asked.stopped.is_set():
            return replace(seen.said, verdict=Verdict.UNKNOWN, cause="interrupted")
        left = until - time.monotonic()
        if left <= 0:
            return replace(seen.said, cause=f"{seen.said.cause} (still so after {asked.timeout_s} s)")
        await asyncio.to_thread(asked.stopped.wait, min(poll_s, left))
