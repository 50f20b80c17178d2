"""Specs in and out of files and streams, byte for byte."""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from talos_gpu.cdi import SpecUnreadable
from talos_gpu.cli.cdi_options import STDIN

_REASONS = {
    errno.ENOENT: "there is no such file",
    errno.ELOOP: "its symbolic links lead in a circle",
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.ENOTDIR: "a part of the path is no folder",
}


def read(source: str) -> bytes:
    """The bytes of a file, or of standard input for `-`. Raises SpecUnreadable."""
    if source == STDIN:
        if sys.stdin is None:  # as Python has it when it is started with the stream closed
            raise SpecUnreadable("standard input is closed", remedy="name a file, or pipe a spec in")
        if sys.stdin.isatty():
            raise SpecUnreadable(
                "no file is named and nothing is piped in", remedy="talosctl read PATH | talos-gpu cdi ..."
            )
    try:
        if source == STDIN:
            return sys.stdin.buffer.read()
        if Path(source).is_dir():
            raise SpecUnreadable(
                f"{source}: it is a folder", remedy=f"name a file in it, or: talos-gpu cdi resolve {source}"
            )
        return Path(source).read_bytes()
    except OSError as error:
        raise _unreadable("standard input" if source == STDIN else source, error) from None


@contextmanager
def stdout() -> Iterator[None]:
    """What is printed inside is written at its end. Raises SpecUnreadable where standard output takes nothing."""
    if sys.stdout is None:
        raise SpecUnreadable("standard output is closed", remedy="send it to a file or a pipe")
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        # Python writes what is left once more when it ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise _unreadable("standard output", error) from None


def write(target: str, data: bytes) -> None:
    """Put bytes into a file by rename, so that no reader ever sees a part; mode and owner of the old one stay.

    A symbolic link stays, the file that it names is replaced. Raises SpecUnreadable; then the old file is as it was.
    """
    path = Path(os.path.realpath(target))
    if path.is_symlink():  # only where links lead in a circle
        raise _unreadable(target, OSError(errno.ELOOP, ""))
    try:
        old = path.stat() if path.exists() else None
        if old is not None and not stat.S_ISREG(old.st_mode):
            path.write_bytes(data)
            return
        # CDI's folders are watched: the name must not end in .yaml or .json
        made = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        descriptor = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                os.fchmod(file.fileno(), stat.S_IMODE(old.st_mode) if old else 0o644)
                if old is not None and (old.st_uid, old.st_gid) != (os.geteuid(), os.getegid()):
                    os.fchown(file.fileno(), old.st_uid, old.st_gid)
            made.replace(path)
        except OSError:
            made.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise _unreadable(target, error) from None


def _unreadable(name: str, error: OSError) -> SpecUnreadable:
    reason = _REASONS.get(error.errno or 0, (error.strerror or str(error)).lower())
    return SpecUnreadable(f"{name}: {reason}")
