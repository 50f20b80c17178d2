"""Everything that talos_gpu.rollout raises on purpose.

TalosGpuError
├── FleetLocked         another rollout of this fleet runs, or the lock cannot be had
├── JournalCorrupt      the journal cannot be folded: a line in its middle is broken
├── PulumiFailed        the Pulumi command line could not be started or did not answer
└── UsageError
    ├── RolloutInvalid  rollout.yaml cannot be used; carries every fault
    ├── NotPlanned      there is no plan, or it has faults
    ├── NotApproved     there is no approval of this plan
    ├── ApprovalVoid    what was approved has moved; carries every difference
    ├── Unfinished      an earlier rollout has not ended
    └── NothingToResume no rollout was begun
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from talos_gpu.errors import TalosGpuError, UsageError

if TYPE_CHECKING:  # the settings are heavy, and `talos-gpu preview` starts the engine before it imports them
    from talos_gpu.settings.faults import Fault

COMMAND = "talos-gpu rollout"
"""How a rollout is called, where nobody says with which options."""
_SHOWN = 20


class FleetLocked(TalosGpuError):
    """One rollout per fleet; `holder` is who has the lock, as far as it is known, `command` how a rollout is called."""

    def __init__(self, path: Path, holder: str, command: str = COMMAND) -> None:
        super().__init__(
            f"another rollout of this fleet holds the lock {path}: {holder}",
            remedy=f"wait for it, look at `{command} status`, or end it with `{command} abort`",
        )
        self.holder = holder


class JournalCorrupt(TalosGpuError):
    """A line of the journal, not the last one, is no record."""

    def __init__(self, path: Path, line: int, detail: str) -> None:
        super().__init__(
            f"{path}, line {line}: {detail}",
            remedy="restore the file; without it nobody can tell which stacks were updated, so plan the fleet anew",
        )


class PulumiFailed(TalosGpuError):
    """A Pulumi command that must not fail did; `detail` is its last words."""

    def __init__(self, command: str, detail: str) -> None:
        super().__init__(f"`pulumi {command}` failed: {detail}", remedy=f"run `pulumi {command}` by hand")


class RolloutInvalid(UsageError):
    """rollout.yaml cannot be used; `faults` has every reason."""

    def __init__(self, path: str, faults: Sequence[Fault]) -> None:
        count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
        super().__init__(f"{path} has {count}:" + "".join(f"\n  {fault}" for fault in faults))
        self.faults = tuple(faults)


class NotPlanned(UsageError):
    """There is no plan that could be approved or run; `remedy` is said of `command`, how a rollout is called."""

    def __init__(self, reason: str, remedy: str = "run `{command} plan`", command: str = COMMAND) -> None:
        super().__init__(reason, remedy=remedy.format(command=command))


class NotApproved(UsageError):
    """The plan has no approval."""

    def __init__(self, plan_hash: str, command: str = COMMAND) -> None:
        super().__init__(
            f"the plan {plan_hash[:12]} is not approved",
            remedy=f"read it (`{command} plan --show`), then run `{command} approve {plan_hash[:12]}`",
        )


class ApprovalVoid(UsageError):
    """What the approval was given for is not what is there now; `differences` has every one of them.

    `unfinished`: a rollout of it was begun and has not ended; before another one it must be given up.
    """

    def __init__(self, differences: Sequence[str], command: str = COMMAND, *, unfinished: bool = False) -> None:
        shown = "".join(f"\n  {line}" for line in differences[:_SHOWN])
        more = f"\n  and {len(differences) - _SHOWN} more" if len(differences) > _SHOWN else ""
        super().__init__(
            f"the approval is void, nothing was started:{shown}{more}",
            remedy=(f"give it up with `{command} abort`, then " if unfinished else "")
            + f"run `{command} plan` again and approve the new plan",
        )
        self.differences = tuple(differences)


class Unfinished(UsageError):
    """An earlier rollout of this fleet was begun and has not ended."""

    def __init__(self, command: str = COMMAND) -> None:
        super().__init__(
            "an earlier rollout of this fleet has not ended",
            remedy=f"run `{command} resume`, or give it up with `{command} abort`",
        )


class NothingToResume(UsageError):
    """No rollout was begun, or the last one is complete."""

    def __init__(self, reason: str, command: str = COMMAND) -> None:
        super().__init__(f"there is nothing to resume: {reason}", remedy=f"run `{command} plan`")
