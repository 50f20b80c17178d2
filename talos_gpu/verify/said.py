"""What a command said, and where commands are run."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

_ADDRESS = re.compile(r" @ 0x[0-9a-f]+")
_CLIP = re.compile(r"(data:video/h264;base64,)[A-Za-z0-9+/=]+")


@dataclass(frozen=True, slots=True)
class Said:
    """A command that ran to its end."""

    command: tuple[str, ...]
    rc: int
    stdout: str
    stderr: str
    seconds: float
    """From the call to its end, the transport included."""

    @property
    def words(self) -> str:
        """Both outputs, lines whole, without the addresses that ffmpeg prints and without the clip's own text."""
        text = "\n".join(part for part in (self.stdout.rstrip("\n"), self.stderr.rstrip("\n")) if part)
        return _CLIP.sub(r"\1...", _ADDRESS.sub("", text.replace("\r", "\n")))

    @property
    def killed(self) -> bool:
        """Whether its time limit ended it (timeout(1): 124, or 137 where it had to kill)."""
        return self.rc in (124, 137)

    @property
    def shown(self) -> str:
        """The command for a person to type, the clip's text left out."""
        return _CLIP.sub(r"\1...", " ".join(self.command))


class Container(Protocol):
    """Where the proofs' commands are run."""

    async def run(self, command: Sequence[str], seconds: float) -> Said:
        """Run a command to its end, at most `seconds`. Raises ContainerLost where it was not run or did not end."""
        ...
