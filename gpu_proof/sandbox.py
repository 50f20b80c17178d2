"""The machine's file system as `prove` sees it: private to its mount namespace, so that nothing of it stays.

What is written below FOLDERS goes to a tmpfs above the machine's own; the mounts end with the last process of the
namespace, also where it is killed.
"""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

FOLDERS = ("/etc", "/run", "/usr/local/bin", "/usr/local/etc", "/usr/local/lib", "/var/lib", "/var/log")
"""`prove` keeps its evidence outside of them: what the namespaces write below them ends with them."""
_libc = ctypes.CDLL(None, use_errno=True)


def mount(kind: str, target: str | Path, options: str, source: str | None = None) -> None:
    """mount(2). Raises OSError with what was to be mounted."""
    Path(target).mkdir(parents=True, exist_ok=True)
    words = ((source or kind).encode(), str(target).encode(), kind.encode(), 0, options.encode())
    if _libc.mount(*words) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"mounting {kind} ({options}): {os.strerror(number)}", str(target))


def overlay(target: str | Path, lower: str | Path, upper: Path) -> None:
    """`lower` at `target`, with everything written kept below `upper`."""
    for part in ("kept", "work"):
        (upper / part).mkdir(parents=True, exist_ok=True)
    mount("overlay", target, f"lowerdir={lower},upperdir={upper / 'kept'},workdir={upper / 'work'}")


def unmount(target: Path) -> None:
    """umount(2). Raises OSError."""
    if _libc.umount2(str(target).encode(), 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"unmounting: {os.strerror(number)}", str(target))


def enter(work: Path) -> None:
    """Make FOLDERS private and give `work` a tmpfs, in a fresh mount namespace with private propagation."""
    mount("tmpfs", work, "mode=755")
    for folder in FOLDERS:
        if Path(folder).is_dir():
            overlay(folder, folder, work / "above" / folder.strip("/").replace("/", "-"))
