"""Whether what was approved is still what is there, asked again right before each stack is touched."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path

from talos_gpu.rollout.plan import Plan
from talos_gpu.rollout.pulumi_cli import Pulumi
from talos_gpu.rollout.records import Step
from talos_gpu.rollout.runner import Moved
from talos_gpu.rollout.versions import file_digest, source_of, state_digest

_FRESH_S = 3.0
"""Seconds for which an answer about the whole project is believed."""


@dataclass
class Watch:
    """Made right after everything was compared with the plan; called from several threads."""

    plan: Plan
    pulumi: Pulumi
    rollout: Path
    begun: Collection[str] = ()
    """Stacks that this rollout has touched before: their state has moved by its own doing."""
    clock: Callable[[], float] = time.monotonic
    _source: list[str] = field(default_factory=list)
    _looked: float = field(init=False)
    _made: float = field(init=False)
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._made = self._looked = self.clock()

    def __call__(self, stack: str, step: Step) -> Moved:
        """What has moved."""
        if self.clock() - self._made < _FRESH_S:
            return Moved()
        config = file_digest(self.pulumi.stack_file(stack))
        touched = step is not Step.UPDATE or stack in self.begun
        state = None if touched else self.pulumi.state(stack)
        lines = self._of_source() + self.plan.moved_stack(stack, config, None)
        if lines or state is None:
            return Moved(tuple(lines))
        found = self.plan.moved_stack(stack, config, state_digest(state))
        return Moved(tuple(found), settling=bool(found and state.get("pending_operations")))

    def _of_source(self) -> list[str]:
        with self._guard:
            if self.clock() - self._looked >= _FRESH_S:
                source = source_of(self.pulumi.project, self.rollout)
                self._source = self.plan.moved_source(source.commit, source.digest, file_digest(self.rollout))
                self._looked = self.clock()
            return self._source
