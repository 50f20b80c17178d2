"""The seed's first failure on this kernel: two sysctls make legacy injection fail; afterwards they are as before."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gpu_proof.parts import Bundle
from gpu_proof.record import Record, Verdict, proven
from gpu_proof.said import run
from tests.doctor.blinded import SYSCTLS

_HARDEN, _RESTRICT = map(Path, SYSCTLS)
_CASES = (
    ("0", "0", "loads"),
    ("1", "0", "loads"),
    ("1", "2", "loads"),
    ("2", "0", "blinded"),
    ("2", "2", "zeros"),
)
_CLAIMS = {
    "loads": "the device program is read back, takes a rule and loads again",
    "blinded": "the program comes back with blinded constants and is refused as `R11 is invalid`",
    "zeros": "the program comes back as zeros and is refused word for word as the seed saw it",
}


def prove(bundle: Bundle) -> Iterator[Record]:
    """A record for each pair of the two sysctls, and one that they were put back."""
    script = str(bundle.sources / "tests/doctor/blinded.py")
    before = [path.read_text().strip() for path in (_HARDEN, _RESTRICT)]
    for harden, restrict, outcome in _CASES:
        with _guarded(script):
            _HARDEN.write_text(harden)
            _RESTRICT.write_text(restrict)
            said = run(sys.executable, script, "try")
        found: dict[str, Any] = json.loads(said.text) if said.code == 0 else {"could_not_tell": said.err}
        yield Record(
            f"ebpf/harden-{harden}-restrict-{restrict}",
            f"net.core.bpf_jit_harden={harden}, kernel.kptr_restrict={restrict}: {_CLAIMS[outcome]}",
            "bpf(2): load a cgroup-device program, read it back, put a rule in front, load",
            str(found.get("log") or found.get("could_not_tell") or "loaded"),
            Verdict.ABSENT if "could_not_tell" in found else proven(_as(outcome, found)),
            {name: found.get(name) for name in ("bytes", "zero", "loaded")},
        )
    after = [path.read_text().strip() for path in (_HARDEN, _RESTRICT)]
    yield Record(
        "ebpf/put-back",
        "both sysctls are as before",
        f"cat {' '.join(SYSCTLS)}",
        f"before {before}, after {after}",
        proven(before == after),
    )


def _as(outcome: str, found: dict[str, Any]) -> bool:
    log = str(found["log"])
    if outcome == "loads":
        return bool(found["loaded"]) and not found["zero"]
    if outcome == "blinded":
        return not found["loaded"] and not found["zero"] and "R11 is invalid" in log
    words = ("last insn is not an exit or jmp", "processed 0 insns")
    return not found["loaded"] and bool(found["zero"]) and all(part in log for part in words)


@contextmanager
def _guarded(script: str) -> Iterator[None]:
    """Another process puts the sysctls back when this ends, also where this process is killed."""
    command = [sys.executable, script, "guard"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True) as guard:
        if guard.stdout is None or guard.stdout.readline() != b"guarding\n":
            raise RuntimeError("the guard of the sysctls did not start")
        yield
