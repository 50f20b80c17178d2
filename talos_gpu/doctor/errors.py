"""What talos_gpu.doctor raises.

TalosGpuError
├── Unread                   evidence that a check needs is not in the bundle; ends in a check that could not run
└── UsageError
    └── BundleInvalid        a folder that holds no evidence
"""

from __future__ import annotations

from talos_gpu.errors import TalosGpuError, UsageError


class Unread(TalosGpuError):
    """Evidence is not there; `reason` is why."""

    def __init__(self, key: str, reason: str) -> None:
        super().__init__(f"{key} was not read: {reason}")
        self.key = key
        self.reason = reason


class BundleInvalid(UsageError):
    """The folder cannot be used as a bundle."""

    def __init__(self, folder: str, reason: str) -> None:
        super().__init__(
            f"{folder} is no bundle: {reason}",
            remedy="make one with `talos-gpu doctor STACK --save FOLDER`, or see docs/troubleshooting.md for its form",
        )
