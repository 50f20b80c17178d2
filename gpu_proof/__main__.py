"""`./prove [--out FOLDER]`: proves our commands on this machine's GPU, bounded in time, and leaves nothing behind.

Exit codes: 0 everything proven or absent by nature, 1 something failed, 2 refused to run.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from gpu_proof import kernel, leftovers, machine
from gpu_proof.parts import Bundle
from gpu_proof.record import Journal, Record, Verdict
from gpu_proof.redact import hider
from gpu_proof.said import PATH
from gpu_proof.sandbox import FOLDERS

SECONDS = 300
"""The whole run ends within, whatever hangs."""
_FOR_CLEANING = 20


def main() -> int:
    """The command."""
    options = argparse.ArgumentParser(prog="prove", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("--out", type=Path, default=Path("evidence"), help="folder for the evidence, made new")
    options.add_argument("--bundle", type=Path, required=True, help=argparse.SUPPRESS)
    chosen = options.parse_args()
    os.environ["PATH"] = PATH
    reasons = list(machine.reasons_against())
    if chosen.out.exists() and any(chosen.out.iterdir()):
        reasons.append(f"{chosen.out} is not empty: name another folder with --out")
    reasons += hides(chosen.out)
    if reasons:
        print("prove: it will not run here:", *(f"  - {reason}" for reason in reasons), sep="\n", file=sys.stderr)
        return 2
    chosen.out.mkdir(parents=True, exist_ok=True)
    return prove(Bundle(chosen.bundle.resolve()), chosen.out.resolve())


def hides(out: Path) -> list[str]:
    """Why evidence in `out` would be lost: there the private namespaces write into a tmpfs of their own."""
    place = out.resolve()
    return [
        f"--out {out} lies below {folder}, which prove makes private to itself: name another, as /tmp/evidence"
        for folder in FOLDERS
        if place.is_relative_to(Path(folder).resolve())
    ]


def prove(bundle: Bundle, out: Path) -> int:
    """Everything, into `out`; the exit code."""
    started, began = time.monotonic(), datetime.now(UTC)
    journal, before = Journal(out, hider()), leftovers.seen()
    head = {"made": began.strftime("%Y-%m-%d"), "machine": machine.facts(), "parts": bundle.versions()}
    journal.attempt("ebpf", lambda: kernel.prove(bundle))
    scratch = Path(tempfile.mkdtemp(prefix="talos-gpu-proof-"))
    try:
        _inside(bundle, scratch, journal, SECONDS - _FOR_CLEANING - (time.monotonic() - started))
    finally:
        leftovers.clean()
        shutil.rmtree(scratch)
    journal.attempt("clean", lambda: leftovers.prove(before))
    seconds = time.monotonic() - started
    path = journal.finish({**head, "seconds": round(seconds, 1)})
    counts = {verdict: sum(one["verdict"] == verdict for one in journal.finished) for verdict in Verdict}
    print(f"{path}: " + ", ".join(f"{count} {verdict}" for verdict, count in counts.items()) + f", {seconds:.0f} s")
    return 1 if counts[Verdict.FAILED] else 0


def _inside(bundle: Bundle, scratch: Path, journal: Journal, seconds: float) -> None:
    """Run the rest in namespaces whose end takes every process and mount of it along."""
    command = [
        "unshare",
        "--mount",
        "--propagation",
        "private",
        "--pid",
        "--fork",
        "--kill-child=SIGKILL",
        "--mount-proc",
        sys.executable,
        "-m",
        "gpu_proof.inside",
        str(bundle.folder),
        str(scratch),
        str(journal.folder),
    ]
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=_end_with_me,  # noqa: PLW1509 - no thread runs here
    ) as process:
        try:
            _, err = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            _, err = process.communicate()
            err = f"not done within {seconds:.0f} s\n{err}"
    if process.returncode != 0:
        journal.say(err)
        journal.keep(Record("run/ended", "every part ran to its end", " ".join(command), err[-1500:], Verdict.FAILED))


def _end_with_me() -> None:
    """In the child: SIGKILL when its parent ends, however that ends (prctl PR_SET_PDEATHSIG)."""
    if ctypes.CDLL(None).prctl(1, signal.SIGKILL) != 0:
        os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
