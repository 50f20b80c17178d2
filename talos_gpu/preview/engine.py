"""The engine's previews of stacks, which can be begun before the rest of this package is imported."""

from __future__ import annotations

import signal
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from talos_gpu.rollout.pulumi_cli import Process, Pulumi

_PATIENCE_S = 30.0
"""Seconds that an interrupted engine has to end its plugins."""


@dataclass(slots=True)
class Engine:
    """Previews that are begun and waited for, from several threads, one per stack.

    Those that nobody waited for are ended with the block: a preview changes nothing.
    """

    pulumi: Pulumi
    folder: Path
    """For the engine's events, which hold what the program was given: made for this run alone, and removed."""
    refresh: bool
    policy_pack: Path | None
    policy_pack_config: Path | None = None
    _begun: dict[str, Process] = field(default_factory=dict)

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *_raised: object) -> None:
        running = [process for process in self._begun.values() if process.poll() is None]
        for process in running:
            process.send_signal(signal.SIGINT)
        for process in running:
            try:
                process.wait(_PATIENCE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def events(self, stack: str) -> Path:
        """Where the engine writes its events."""
        return self.folder / f"{stack}.events"

    def log(self, stack: str) -> Path:
        """Where it says the rest."""
        return self.folder / f"{stack}.log"

    def begin(self, stack: str) -> None:
        """Start the preview of a stack."""
        flags = ["--refresh"] if self.refresh else []
        flags += ["--policy-pack", str(self.policy_pack)] if self.policy_pack else []
        flags += ["--policy-pack-config", str(self.policy_pack_config)] if self.policy_pack_config else []
        words = self.pulumi.words("preview", stack, self.events(stack), *flags)
        self._begun[stack] = self.pulumi.start(words, self.log(stack))

    def wait(self, stack: str) -> int:
        """The exit code of a stack's preview, which is started unless it was."""
        if stack not in self._begun:
            self.begin(stack)
        return self.pulumi.wait(self._begun[stack])
