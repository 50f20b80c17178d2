"""Daemons: remembered by pid and start time, ended for certain."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from lab.errors import LabError
from lab.process import Daemon, start_time

STUBBORN = """
import signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("on", flush=True)
while True:
    signal.pause()
"""


def test_a_started_daemon_is_found_again_by_its_record(tmp_path: Path) -> None:
    daemon = Daemon(tmp_path, "sleeper")
    daemon.start(["sleep", "60"])
    try:
        again = Daemon(tmp_path, "sleeper")
        assert again.pid == daemon.pid
        assert again.pid is not None
        again.start(["false"])  # runs already: nothing is started
        assert again.pid == daemon.pid
    finally:
        daemon.stop()
    assert daemon.pid is None
    assert not (tmp_path / "sleeper.json").exists()


def test_a_reused_pid_is_not_taken_for_the_daemon(tmp_path: Path) -> None:
    daemon = Daemon(tmp_path, "other")
    mine = start_time(os.getpid())
    assert mine is not None
    (tmp_path / "other.json").write_text(json.dumps({"pid": os.getpid(), "start": mine - 1}))
    assert daemon.pid is None
    daemon.stop()  # must not signal this very process


def test_a_daemon_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    daemon = Daemon(tmp_path, "stubborn")
    daemon.start([sys.executable, "-c", STUBBORN])
    pid = daemon.pid
    assert pid is not None
    while "on" not in daemon.log.read_text():
        assert daemon.pid is not None
    daemon.stop(grace=0.2)
    assert start_time(pid) is None


def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises((LabError, FileNotFoundError), match="no-such-program"):
        Daemon(tmp_path, "missing").start([tmp_path / "no-such-program"])
