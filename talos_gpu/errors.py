"""The root of everything that talos_gpu raises on purpose.

TalosGpuError                a failure with its remedy
└── UsageError               the user's fault: settings, arguments, files; ends in a clean exit, never in a traceback

Each package draws its own branch: cdi/errors.py, talos/errors.py, kube/errors.py.
"""

from __future__ import annotations


class TalosGpuError(Exception):
    """A failure with what to do about it; str() shows both.

    `message` is what went wrong, `remedy` the command, setting or step that mends it ("" where there is none).
    """

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(f"{message}\n  remedy: {remedy}" if remedy else message)
        self.message = message
        self.remedy = remedy


class UsageError(TalosGpuError):
    """What the user gave cannot be used as it is."""
