"""Which binary runs a spec's hooks.

The wrapper of Talos 1.8 to 1.12 refuses the name `nvidia-cdi-hook` (siderolabs/extensions, release-1.11,
nvidia-container-runtime-wrapper/main.go: `unknown command`); the binary behind it is `nvidia-cdi-hook.real`.
"""

from __future__ import annotations

from enum import StrEnum
from types import MappingProxyType

CDI_HOOK = "/usr/local/bin/nvidia-cdi-hook"
CDI_HOOK_REAL = "/usr/local/bin/nvidia-cdi-hook.real"
NVIDIA_CTK = "/usr/local/bin/nvidia-ctk"
HOOK_REAL = "nvidia-cdi-hook.real"
"""What lies in /usr/local/bin beside the wrapper, and nowhere else."""


class Strategy(StrEnum):
    """Which binary runs the hooks."""

    NONE = "none"
    """Whatever the spec says (Talos >= 1.13: the real binary under its own name)."""
    REAL = "real"
    """The binary behind the wrapper (Talos 1.8 to 1.12)."""
    NVIDIA_CTK = "nvidia-ctk"
    """`nvidia-ctk hook`, as generated with --nvidia-cdi-hook-path=/usr/local/bin/nvidia-ctk; the wrapper knows it."""

    @property
    def replaces(self) -> MappingProxyType[str, str]:
        """Hook path found in a spec -> hook path wanted."""
        return MappingProxyType({CDI_HOOK: CDI_HOOK_REAL} if self is Strategy.REAL else {})

    @property
    def known(self) -> tuple[str, ...]:
        """The hook paths that may stand in a spec before or after; empty: any."""
        return {
            Strategy.NONE: (),
            Strategy.REAL: (CDI_HOOK, CDI_HOOK_REAL),
            Strategy.NVIDIA_CTK: (NVIDIA_CTK,),
        }[self]

    @property
    def executable(self) -> str:
        """The hook binary to name when generating a spec that needs no patch; "" leaves it to nvidia-ctk."""
        return {Strategy.NONE: "", Strategy.REAL: CDI_HOOK_REAL, Strategy.NVIDIA_CTK: NVIDIA_CTK}[self]


def strategy_on(hook: str, binaries: frozenset[str], table: Strategy) -> Strategy:
    """The hook strategy: what the stack says, else what lies in /usr/local/bin, else the release table's."""
    if hook != "auto":
        return Strategy(hook)
    if not binaries:
        return table
    return Strategy.REAL if HOOK_REAL in binaries else Strategy.NONE
