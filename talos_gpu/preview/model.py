"""A preview as data: what the comment, the terminal and `--json` show."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from talos_gpu.rollout.plan import Change
from talos_gpu.settings.base import Strict

VERSION = 1
OPS = ("create", "update", "replace", "delete")


class Reboot(Strict):
    """Whether the update restarts the node."""

    verdict: Literal["no", "yes", "possible", "refused", "unknown"] = Field(
        description="possible: what the node has is not known; refused: the stack forbids it, the update fails first."
    )
    reasons: tuple[str, ...] = Field(default=(), description="Why, a sentence each.")


class SpecChange(Strict):
    """One difference that a container sees (`talos_gpu.cdi.Change`)."""

    change: Literal["added", "removed", "changed"]
    path: str = Field(description="Where: `device 0: hook chmod: path`.")
    old: str = ""
    new: str = ""
    count: int = Field(default=1, description="Elements that differ in nothing else.")


class SpecDiff(Strict):
    """What changes in the installed CDI spec."""

    known: Literal["same", "known", "predicted", "unknown", "none"] = Field(
        description="predicted: hooks only; unknown: generated on the node during the update; none: no spec of ours."
    )
    note: str = ""
    changes: tuple[SpecChange, ...] = ()


class ConfigDiff(Strict):
    """What changes in the machine config; secrets are shown as their length."""

    known: Literal["same", "known", "first", "unknown"] = Field(
        description="first: nothing was applied by this stack yet, compared with the base config."
    )
    note: str = ""
    diff: str = Field(default="", description="A unified diff.")


class Drift(Strict):
    """What a refresh found to differ from the state."""

    type: str
    name: str
    found: tuple[str, ...] = Field(description="A sentence each, or the paths of what differs.")


class Violation(Strict):
    """A finding of a policy pack."""

    policy: str
    level: str = Field(description="mandatory stops an update; advisory is told.")
    resource: str
    message: str


class StackPreview(Strict):
    """One stack."""

    name: str
    faults: tuple[str, ...] = Field(default=(), description="Why it could not be previewed.")
    changes: tuple[Change, ...] = Field(default=(), description="Each resource once, values left out.")
    reboot: Reboot
    restarts: tuple[str, ...] = Field(default=(), description="GPU workloads that start anew.")
    restart_reasons: tuple[str, ...] = Field(
        default=(), description="Settings and facts for which the stack's worker starts anew: `tdarr.image`."
    )
    spec: SpecDiff
    machine_config: ConfigDiff
    drift: tuple[Drift, ...] = ()
    policy: tuple[Violation, ...] = ()
    warnings: tuple[str, ...] = ()

    def count(self, op: str) -> int:
        """How many resources are created, updated, replaced or deleted."""
        return sum(change.op == op for change in self.changes)

    @property
    def blocked(self) -> bool:
        """Whether an update would fail for what is known now."""
        return bool(self.faults) or any(found.level == "mandatory" for found in self.policy)


class Preview(Strict):
    """Some stacks of one project."""

    version: int = VERSION
    project: str
    commit: str
    clean: bool = Field(description="Whether the files are those of the commit.")
    hash: str = Field(description="SHA-256, hex: what an approval binds to.")
    hash_of: Literal["rollout", "stacks"] = Field(
        description="rollout: the hash of `talos-gpu rollout plan`, which `rollout approve` takes; stacks: of these."
    )
    refreshed: bool
    policy_pack: str = Field(default="", description='Its path; "" if none was run.')
    stand_ins: tuple[str, ...] = Field(default=(), description="Plugins of the lab that answered for official ones.")
    stacks: tuple[StackPreview, ...]

    @property
    def blocked(self) -> Iterator[StackPreview]:
        """The stacks whose update would fail."""
        return (stack for stack in self.stacks if stack.blocked)
