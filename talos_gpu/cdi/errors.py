"""What talos_gpu.cdi raises.

TalosGpuError
├── CdiError                 a spec that cannot be used as it is
│   ├── SpecInvalid          containerd's CDI library would refuse it; holds every fault
│   ├── HookPathUnknown      a hook runs a binary that the strategy does not know
│   ├── PatchUnsafe          the text of a hook path cannot be replaced without touching anything else
│   ├── FactsUnclear         no single driver version, or a path that the facts file cannot carry
│   ├── KindUnexpected       a spec of another vendor or class than was asked for
│   └── SpecUnreadable       a file, folder or stream that gives no bytes of a spec, or takes none
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from typing_extensions import override

from talos_gpu.errors import TalosGpuError

SHOWN_FAULTS = 20


@dataclass(frozen=True, slots=True)
class SpecFault:
    """One reason why a spec is refused.

    `line` and `column` start at 1; `path` is like `devices[0].containerEdits.hooks[1].path` ("" for the whole file);
    `rule` is a stable short name; `source` names the file and function of the CDI project, or of a library under it,
    that refuses.
    """

    line: int
    column: int
    path: str
    rule: str
    message: str
    source: str

    @override
    def __str__(self) -> str:
        where = f"{self.line}:{self.column}: " + (f"{self.path}: " if self.path else "")
        return f"{where}{self.message} [{self.rule}]"


class CdiError(TalosGpuError):
    """A CDI spec cannot be used as it is."""


class SpecInvalid(CdiError):
    """The spec breaks rules of the CDI specification; containerd would not load it and so find no device in it."""

    def __init__(self, faults: Sequence[SpecFault]) -> None:
        shown = "".join(f"\n  {fault}" for fault in faults[:SHOWN_FAULTS])
        more = f"\n  and {len(faults) - SHOWN_FAULTS} more" if len(faults) > SHOWN_FAULTS else ""
        count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
        super().__init__(
            f"CDI spec invalid, {count}:{shown}{more}",
            remedy="generate it anew on the node with nvidia-ctk cdi generate; containerd refuses this one too",
        )
        self.faults = tuple(faults)


class HookPathUnknown(CdiError):
    """A hook runs a binary that is neither what the strategy replaces nor what it puts there.

    `unknown` holds (path, line) of every such hook, in the order of the file.
    """

    def __init__(self, unknown: Sequence[tuple[str, int]], known: Sequence[str]) -> None:
        named = "; ".join(f"line {line}: hook path {path!r}" for path, line in unknown)
        super().__init__(
            f"{named}: none of {', '.join(known)}",
            remedy="generate the spec anew with this node's nvidia-ctk, or choose the stack's cdi hook strategy for it",
        )
        self.unknown = tuple(unknown)
        self.known = tuple(known)


class PatchUnsafe(CdiError):
    """The hook path is written in a form whose replacement could change something else."""

    def __init__(self, path: str, line: int, reason: str) -> None:
        super().__init__(
            f"line {line}: {path} cannot be patched safely: {reason}",
            remedy="generate the spec anew with nvidia-ctk cdi generate, which writes none of this",
        )
        self.path = path
        self.line = line
        self.reason = reason


class FactsUnclear(CdiError):
    """The spec does not say clearly what it needs of the host."""


class KindUnexpected(CdiError):
    """The spec is not of the kind that was asked for."""

    def __init__(self, kind: str, wanted: str) -> None:
        super().__init__(
            f"the spec is of kind {kind!r}, not {wanted}",
            remedy="name the right file, or its kind with --kind",
        )
        self.kind = kind


class SpecUnreadable(CdiError):
    """No spec can be read from there, or written to it."""
