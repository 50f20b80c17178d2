"""What the machine API's calls return, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class ApplyMode(StrEnum):
    """How a machine config takes effect (machine.ApplyConfigurationRequest.Mode). REBOOT is gone in Talos 1.14."""

    AUTO = "auto"
    REBOOT = "reboot"
    NO_REBOOT = "no_reboot"
    STAGED = "staged"
    TRY = "try"


@dataclass(frozen=True, slots=True)
class Version:
    """A node's Talos release."""

    tag: str
    """With the v: `v1.11.1`."""
    sha: str
    arch: str
    platform: str


@dataclass(frozen=True, slots=True)
class FileEntry:
    """One entry of a folder; `error` is why the node could not look at it ("" if it could)."""

    name: str
    path: str
    """Relative to the folder that was listed."""
    size: int
    """Bytes."""
    mode: int
    is_dir: bool
    link: str
    error: str


@dataclass(frozen=True, slots=True)
class Service:
    """A service of the node's init. `healthy` is None where it has no health check, or none has run yet."""

    id: str
    state: str
    """Talos's word: Running, Finished, Waiting, Preparing, Failed, Skipped, ..."""
    healthy: bool | None
    last_message: str

    @property
    def settled(self) -> bool:
        """Running and not known to be unhealthy, or done."""
        return self.state in {"Finished", "Skipped"} or (self.state == "Running" and self.healthy is not False)


@dataclass(frozen=True, slots=True)
class ApplyResult:
    """How the node takes, or in a dry run would take, a machine config."""

    mode: ApplyMode
    """As the node decided: AUTO comes back as NO_REBOOT or REBOOT."""
    details: str
    warnings: tuple[str, ...]

    @property
    def reboots(self) -> bool:
        """Whether the node restarts for it."""
        return self.mode is ApplyMode.REBOOT


@dataclass(frozen=True, slots=True)
class Resource:
    """A resource of Talos's controller runtime."""

    namespace: str
    type: str
    id: str
    version: str
    phase: str
    spec: Mapping[str, Any]
    """Empty where the resource is not one mapping."""
    text: str = field(default="", repr=False)
    """The same as it was sent, YAML: a machine config with its comments and further documents, and its secrets."""
