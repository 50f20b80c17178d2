"""The kernel's part of `last insn is not an exit or jmp`: made by two sysctls, whatever the kernel's release.

The sysctls are the whole machine's: they differ for milliseconds, and a process of its own puts them back, also where
this one is killed. Where they cannot be written, or bpf(2) is not allowed, a test ends as `could not tell`.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.doctor.blinded import SYSCTLS

ROOT = Path(__file__).parents[2]
SCRIPT = str(Path(__file__).with_name("blinded.py"))
HARDEN, RESTRICT = map(Path, SYSCTLS)
CONTROL = """
import subprocess, sys
from pathlib import Path
guard = subprocess.Popen([sys.executable, sys.argv[1], "guard"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                         start_new_session=True, pass_fds=[int(sys.argv[3])])
guard.stdout.readline()
Path(sys.argv[2]).write_text("1")
print(guard.pid, flush=True)
sys.stdin.read()
"""


HELD: list[int] = []
"""The descriptor of the lock."""


def current() -> tuple[str, str]:
    return HARDEN.read_text().strip(), RESTRICT.read_text().strip()


@contextlib.contextmanager
def guarded() -> Iterator[None]:
    """Sysctls may be changed within; afterwards they are as before, whatever becomes of this process."""
    command = [sys.executable, SCRIPT, "guard"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True, pass_fds=HELD
    ) as guard:
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
    # one such test at a time on this machine; a guard inherits the lock, and so holds it until it has put all back
    with (Path(tempfile.gettempdir()) / "talos-gpu-bpf-sysctls.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        HELD[:] = [lock.fileno()]
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
    command = [sys.executable, "-c", CONTROL, SCRIPT, str(HARDEN), str(HELD[0])]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=HELD) as process:
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
        assert poller.poll(60_000), "the guard did not end"
    assert current() == before


def test_where_the_sysctls_cannot_be_written_every_test_of_the_kernel_could_not_tell(tmp_path: Path) -> None:
    """This file once more, under a read-only /proc/sys, with a lock of its own: nothing of it can change a sysctl."""
    tests = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", __file__, "-k", "not cannot_be_written"]
    read_only = ["sh", "-c", 'mount --bind -o ro /proc/sys /proc/sys && exec "$@"', "sh"]
    unshared = ["unshare", "--mount", *read_only] if os.geteuid() == 0 else []
    done = subprocess.run(
        [*unshared, *tests],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "7 could not tell" in done.stdout.splitlines()[-1], done.stdout
