"""Long-running programs of the lab: started detached, remembered by pid and start time, ended in order."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from lab.errors import LabError


def start_time(pid: int) -> int | None:
    """The process's start in clock ticks since boot (/proc/PID/stat, field 22); None when it is gone or a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in ("Z", "X") else int(fields[19])


class Daemon:
    """One program, kept in `folder` as NAME.log and NAME.json (pid and start time: a reused pid is no match)."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        self._record = folder / f"{name}.json"

    @property
    def pid(self) -> int | None:
        """The running process, or None."""
        try:
            record = json.loads(self._record.read_text())
        except FileNotFoundError:
            return None
        pid = int(record["pid"])
        return pid if start_time(pid) == record["start"] else None

    def start(self, command: Sequence[str | Path], env: Mapping[str, str] | None = None) -> None:
        """Start it unless it runs; output goes to its log."""
        if self.pid is not None:
            return
        self._record.parent.mkdir(parents=True, exist_ok=True)
        words = [str(part) for part in command]
        # not Popen: the daemon is meant to outlive this process, and nobody waits for it
        with self.log.open("ab") as log, Path(os.devnull).open("rb") as nothing:
            pid = os.posix_spawnp(
                words[0],
                words,
                dict(os.environ if env is None else env),
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, nothing.fileno(), 0),
                    (os.POSIX_SPAWN_DUP2, log.fileno(), 1),
                    (os.POSIX_SPAWN_DUP2, log.fileno(), 2),
                ],
                setsid=True,
            )
        started = start_time(pid)
        if started is None:
            raise LabError(f"{self.name} ended at once:\n{self.tail()}", remedy=f"see {self.log}")
        self._record.write_text(json.dumps({"pid": pid, "start": started}))

    def stop(self, grace: float = 10.0, *, kill: bool = False) -> None:
        """End it: SIGTERM, after `grace` seconds (or at once with `kill`) SIGKILL; returns when it is gone."""
        pid = self.pid
        if pid is not None:
            _signal(pid, signal.SIGKILL if kill else signal.SIGTERM)
            deadline = time.monotonic() + grace
            while self.pid is not None:
                if time.monotonic() > deadline:
                    _signal(pid, signal.SIGKILL)
                    deadline = time.monotonic() + grace
                _reap(pid)
                time.sleep(0.02)
        self._record.unlink(missing_ok=True)

    def tail(self, lines: int = 15) -> str:
        """The last lines of its log."""
        try:
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
        except FileNotFoundError:
            return "(no log)"


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def _reap(pid: int) -> None:
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return
