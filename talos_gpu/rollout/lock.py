"""One rollout per fleet: a file lock of the kernel, which ends with the process however that ends."""

from __future__ import annotations

import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from talos_gpu.rollout.errors import COMMAND, FleetLocked


@dataclass(frozen=True, slots=True)
class Holder:
    """Who has a lock, as it wrote there itself."""

    pid: int
    host: str
    command: str


@contextmanager
def held(path: Path, command: str, called: str = COMMAND) -> Iterator[None]:
    """Hold the lock while the block runs; `command` is for whoever finds it taken, `called` how a rollout is called.

    Raises FleetLocked if another has it, and also if the lock cannot be had at all: no lock, no rollout.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise FleetLocked(path, f"it cannot be opened: {error.strerror}", called) from None
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FleetLocked(path, describe(holder(path)), called) from None
        except OSError as error:
            raise FleetLocked(path, f"the file system refuses locks: {error.strerror}", called) from None
        words = {"pid": os.getpid(), "host": socket.gethostname(), "command": command}
        os.ftruncate(handle, 0)
        os.pwrite(handle, json.dumps(words).encode(), 0)
        yield
    finally:
        os.close(handle)  # which releases it


def is_held(path: Path) -> bool:
    """Whether somebody has the lock now."""
    try:
        handle = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def holder(path: Path) -> Holder | None:
    """Who had the lock last; None if nobody wrote it."""
    try:
        words = json.loads(path.read_text(encoding="utf-8"))
        return Holder(int(words["pid"]), str(words["host"]), str(words["command"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def describe(found: Holder | None) -> str:
    """A holder in words."""
    return f"process {found.pid} on {found.host} ({found.command})" if found else "somebody who did not say who"
