"""What nvidia-cdi-hook of each toolkit release knows.

From nvidia-container-toolkit cmd/nvidia-cdi-hook/commands/commands.go by release; `nvidia-ctk hook` knows the same.
"""

from __future__ import annotations

import re
from types import MappingProxyType

from talos_gpu.cdi.model import Hook

Release = tuple[int, int, int]

KNOWN_SINCE: MappingProxyType[str, Release] = MappingProxyType(
    {
        "create-symlinks": (1, 14, 0),
        "update-ldcache": (1, 14, 0),
        "chmod": (1, 14, 0),
        "enable-cuda-compat": (1, 17, 5),
        "create-soname-symlinks": (1, 18, 0),
        "disable-device-node-modification": (1, 18, 0),
        "update-application-profile": (1, 20, 0),
    }
)
"""Hook name -> first toolkit release that knows it (1.14 is the oldest in a Talos release with CDI hooks)."""
TOLERANT_SINCE: Release = (1, 18, 0)
"""From here an unknown hook is a warning and does nothing; before, the hook fails and so the container."""
_RELEASE = re.compile(r"v?(\d+)\.(\d+)\.(\d+)")


def release(version: str) -> Release | None:
    """`1.17.8` and `v1.17.8-rc.1` as numbers, None for what is no release."""
    found = _RELEASE.match(version)
    return None if found is None else (int(found[1]), int(found[2]), int(found[3]))


def hook_command(hook: Hook) -> str:
    """The subcommand of nvidia-cdi-hook or `nvidia-ctk hook`: `create-symlinks`; "" where it has none."""
    words = [word for word in hook.args[1:] if word != "hook"]
    return words[0] if words and not words[0].startswith("-") else ""
