"""The kernel's part of `last insn is not an exit or jmp`: made by two sysctls, whatever the kernel's release.

The sysctls are the whole machine's: they differ for milliseconds, and a process of its own puts them back, also where
this one is killed. Where they cannot be written, or bpf(2) is not allowed, the tests are skipped as `could not tell`.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.doctor.blinded import SYSCTLS

SCRIPT = str(Path(__file__).with_name("blinded.py"))
HARDEN, RESTRICT = map(Path, SYSCTLS)
CONTROL = """
import subprocess, sys
from pathlib import Path
guard = subprocess.Popen([sys.executable, sys.argv[1], "guard"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                         start_new_session=True)
guard.stdout.readline()
Path(sys.argv[2]).write_text("1")
print(guard.pid, flush=True)
sys.stdin.read()
"""


def current() -> tuple[str, str]:
    return HARDEN.read_text().strip(), RESTRICT.read_text().strip()


@contextlib.contextmanager
def guarded() -> Iterator[None]:
    """Sysctls may be changed within; afterwards they are as before, whatever becomes of this process."""
    command = [sys.executable, SCRIPT, "guard"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True) as guard:
        assert guard.stdout
        assert guard.stdout.readline() == b"guarding\n"
        yield


def attempt(harden: str, restrict: str) -> dict[str, Any]:
    with guarded():
        try:
            HARDEN.write_text(harden)
            RESTRICT.write_text(restrict)
        except OSError as error:
            pytest.skip(f"could not tell: the sysctls cannot be written here ({error.strerror})")
        done = subprocess.run([sys.executable, SCRIPT, "try"], capture_output=True, text=True, timeout=20, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    if "could_not_tell" in found:
        pytest.skip(f"could not tell: {found['could_not_tell']}")
    return found


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    if not HARDEN.exists() or not os.access(HARDEN, os.R_OK):
        pytest.skip("could not tell: net.core.bpf_jit_harden cannot be read here")
    before = current()
    yield
    assert current() == before


@pytest.mark.parametrize("harden", ["0", "1"])
@pytest.mark.parametrize("restrict", ["0", "2"])
def test_with_harden_0_or_1_the_program_is_read_back_and_takes_a_rule(harden: str, restrict: str) -> None:
    found = attempt(harden, restrict)
    assert found["loaded"], found
    assert not found["zero"]


def test_talos_s_two_defaults_give_zeros_and_the_seed_s_message_word_for_word() -> None:
    found = attempt("2", "2")
    assert not found["loaded"]
    assert found["zero"]
    assert "last insn is not an exit or jmp" in found["log"]
    assert "processed 0 insns" in found["log"]


def test_hardened_with_readable_pointers_the_program_is_blinded_and_refused_in_other_words() -> None:
    found = attempt("2", "0")
    assert not found["loaded"]
    assert not found["zero"]
    assert "R11 is invalid" in found["log"]


def test_a_killed_test_leaves_the_sysctls_as_they_were() -> None:
    before = current()
    command = [sys.executable, "-c", CONTROL, SCRIPT, str(HARDEN)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        line = process.stdout.readline()
        if not line:
            pytest.skip("could not tell: the sysctls cannot be written here")
        guard = os.pidfd_open(int(line))
        os.kill(process.pid, signal.SIGKILL)
    with open(guard, closefd=True) as descriptor:  # noqa: PTH123 (a descriptor)
        import select

        poller = select.poll()
        poller.register(descriptor.fileno(), select.POLLIN)
        assert poller.poll(5000), "the guard did not end"
    assert current() == before
