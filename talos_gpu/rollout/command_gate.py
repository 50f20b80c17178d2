"""A gate that is a command of the user's: exit code 0 passes, 1 fails, anything else could not tell.

A line `measured: NAME NUMBER UNIT` of its output is a figure for the report: `measured: hevc_nvenc 5.24 x`.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress

from talos_gpu.rollout.gates import Asked, Gate, Measured, Said, Verdict

_LAST_WORDS = 500
_FIGURE = re.compile(r"^measured: (\S+) (-?\d+(?:\.\d+)?) (\S+)$", re.MULTILINE)
_LOOK_S = 0.1
"""Seconds between two looks at whether the answer is still wanted."""
_GRACE_S = 5.0
"""Seconds between SIGTERM and SIGKILL."""


def command_gate(words: Sequence[str]) -> Gate:
    """The gate that runs `words` in the project's folder with ROLLOUT_STACK and ROLLOUT_STACK_FILE set.

    It has a session of its own; when its time is over, or nobody wants the answer any more, all of it is ended.
    """

    def run(asked: Asked) -> Said:
        environment = {**os.environ, "ROLLOUT_STACK": asked.stack, "ROLLOUT_STACK_FILE": str(asked.stack_file)}
        with tempfile.TemporaryFile() as output:  # not a pipe: what the command leaves running would hold it open
            process = subprocess.Popen(
                list(words),
                cwd=asked.project,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            why = _wait(process, asked)
            output.seek(0)
            said = output.read().decode(errors="replace")
        text = said.strip()[-_LAST_WORDS:]
        if why:
            return Said(Verdict.UNKNOWN, evidence=text, cause=why)
        verdict = {0: Verdict.PASSED, 1: Verdict.FAILED}.get(process.returncode, Verdict.UNKNOWN)
        cause = "" if process.returncode == 0 else text or f"exit code {process.returncode}"
        figures = {name: Measured(float(value), unit) for name, value, unit in _FIGURE.findall(said)}
        return Said(verdict, evidence=text, cause=cause, measured=figures)

    return run


def _wait(process: subprocess.Popen[bytes], asked: Asked) -> str:
    """Wait for its end; why it was ended before, "" if it was not."""
    deadline = time.monotonic() + asked.timeout_s
    while True:
        try:
            process.wait(_LOOK_S)
        except subprocess.TimeoutExpired:
            if asked.stopped.is_set():
                _end(process)
                return "interrupted"
            if time.monotonic() >= deadline:
                _end(process)
                return f"no answer within {asked.timeout_s} s"
        else:
            return ""


def _end(process: subprocess.Popen[bytes]) -> None:
    os.killpg(process.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(_GRACE_S)
    with suppress(ProcessLookupError):  # none of its session is left
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
