"""`talos-gpu verify` on a lab, a transcode beside it, and the ways in which a node's GPU fails while pods use it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from lab import kubectl
from lab.lab import Lab
from lab.paths import PROJECT
from lab.proof import worker
from lab.stack import Stack
from tests.lab.conftest import MainJob

LIBRARY = "/usr/local/glibc/usr/lib"
"""Where the libraries are in the worker, as on the node."""
_MAJORS = "/run/lab-facts/proc_devices"
"""What the lab's node shows as /proc/devices."""


@dataclass(frozen=True)
class Verified:
    """How a `talos-gpu verify --json` ended."""

    code: int
    reports: Mapping[str, Any]
    """By stack."""

    def proofs(self, stack: str = "lab") -> dict[str, Any]:
        return {proof["name"]: proof for proof in self.reports[stack]["proofs"]}

    def outcomes(self, stack: str = "lab") -> dict[str, str]:
        return {name: proof["outcome"] for name, proof in self.proofs(stack).items()}

    def causes(self, stack: str = "lab") -> dict[str, str]:
        """Those of the proofs that are not proven."""
        return {name: proof["cause"] for name, proof in self.proofs(stack).items() if proof["cause"]}


def command(lab: Lab, *words: str) -> subprocess.CompletedProcess[str]:
    """`talos-gpu verify WORDS` with the lab's stack files."""
    line = [sys.executable, "-m", "talos_gpu", "verify", *words, "--project", str(lab.paths.root)]
    return subprocess.run(line, cwd=PROJECT, capture_output=True, text=True, check=False, timeout=120)


def verify(lab: Lab, *words: str) -> Verified:
    """`talos-gpu verify --json WORDS`, which must say nothing else."""
    done = command(lab, "--json", *words)
    assert done.stderr == ""
    document = json.loads(done.stdout)
    return Verified(done.returncode, {report["stack"]: report for report in document["reports"]})


@dataclass
class Transcode:
    """An ffmpeg that encodes in the worker."""

    process: subprocess.Popen[str]
    frames: int = 0
    """As it told last."""

    def begun(self) -> None:
        """Return when it has encoded something."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._note(line)
            if self.frames:
                return
        raise AssertionError(f"the transcode ended: {self.process.communicate()[1][-2000:]}")

    def end(self) -> None:
        """Ask it to end, as a person does; fails unless it ends well."""
        told, said = self.process.communicate("q\n", timeout=30)
        for line in told.splitlines():
            self._note(line)
        assert self.process.returncode == 0, said[-2000:]

    def _note(self, line: str) -> None:
        key, _, value = line.partition("=")
        self.frames = int(value) if key == "frame" else self.frames


@contextmanager
def transcoding(stack: Stack, *, seconds: int = 600, live: bool = False) -> Iterator[Transcode]:
    """A transcode of a film of so many seconds in the worker while the block runs, ended well after it.

    `live`: no quicker than the film, so that it lasts that long and leaves this machine its processors.
    """
    encode = ["ffmpeg", "-hide_banner", "-nostats", "-progress", "pipe:1", "-stats_period", "0.2", "-f", "lavfi"]
    encode += [
        *(["-re"] if live else []),
        "-i",
        f"testsrc=size=320x240:rate=30:duration={seconds}",
        "-pix_fmt",
        "yuv420p",
        "-c:v",
        "hevc_nvenc",
    ]
    process = subprocess.Popen(
        kubectl.command(stack.lab, "exec", "-i", *worker(stack), "--", *encode, "-f", "null", "-"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    transcode = Transcode(process)
    try:
        transcode.begun()
        yield transcode
        transcode.end()
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()


@contextmanager
def pretending(job: MainJob, **settings: str | int) -> Iterator[None]:
    """The node's mock GPU with these settings, and healthy again."""
    job.node.pretend(**settings)
    try:
        yield
    finally:
        job.node.pretend()


@contextmanager
def away(job: MainJob, path: str) -> Iterator[None]:
    """A file of the running worker renamed, as if it had never been injected."""
    hidden = f"{path.rpartition('/')[0]}/away"
    kubectl.kubectl(job.lab, "exec", *worker(job.stack), "--", "mv", path, hidden)
    try:
        yield
    finally:
        kubectl.kubectl(job.lab, "exec", *worker(job.stack), "--", "mv", hidden, path)


@contextmanager
def moved_major(job: MainJob, major: int) -> Iterator[None]:
    """nvidia-uvm with another major in the kernel, as after its module was loaded again; the worker has the old one."""
    shown = job.inside(_MAJORS)
    before = shown.read_text()
    shown.write_text(before.replace("511 nvidia-uvm", f"{major} nvidia-uvm"))
    try:
        with pretending(job, uvm_major=major):
            yield
    finally:
        shown.write_text(before)
