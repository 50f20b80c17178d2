"""Everything the lab raises on purpose.

LabError
├── LabRefused               this machine or this state does not allow it
│   └── SystemPackagesMissing
├── BuildFailed              a program of the toolchain did not build
├── NodeFailed               a node did not come up or went down
├── ClusterFailed            the control plane did not come up
└── StepFailed               a step of `up` did not reach what it waits for
"""

from __future__ import annotations

from collections.abc import Sequence


class LabError(Exception):
    """A failure with what to do about it; str() shows both."""

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(f"{message}\n  remedy: {remedy}" if remedy else message)
        self.remedy = remedy


class LabRefused(LabError):
    """This machine, or the state it is in, does not allow what was asked."""


class SystemPackagesMissing(LabRefused):
    """System packages are missing and were not to be installed."""

    def __init__(self, packages: Sequence[str], command: Sequence[str]) -> None:
        super().__init__(
            f"system packages are missing: {', '.join(packages)}",
            remedy=f"as root: apt-get update && {' '.join(command)}",
        )


class BuildFailed(LabError):
    """A program of the toolchain did not build; carries the compiler's last lines."""

    def __init__(self, tool: str, output: str) -> None:
        super().__init__(
            f"building {tool} failed:\n{output.strip()[-3000:]}",
            remedy="the lines above are the Go toolchain's own; with them mended, run again: what was built stays",
        )


class NodeFailed(LabError):
    """A node did not reach the state that was waited for."""


class ClusterFailed(LabError):
    """The control plane did not reach the state that was waited for."""


class StepFailed(LabError):
    """A step of `up` did not reach what it waits for."""
