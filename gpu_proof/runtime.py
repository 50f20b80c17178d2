"""containerd and containers on it, by `ctr`: CDI as containerd's own client library does it."""

from __future__ import annotations

import itertools
import os
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from gpu_proof.said import PATH, Said, run
from gpu_proof.sandbox import overlay, unmount
from talos_gpu.cdi import FOLDERS

CGROUP = "talos-gpu-proof"
SOCKET = "/run/containerd/containerd.sock"
CONFIG = Path("/etc/containerd/config.toml")
ALL = ("--device", "nvidia.com/gpu=all")
NVIDIA_RUNTIME = (
    *("--runc-binary", "/usr/local/bin/nvidia-container-runtime.cdi"),
    *("--env", "NVIDIA_VISIBLE_DEVICES=nvidia.com/gpu=all"),
)
"""NVIDIA's runtime in CDI mode: what a RuntimeClass leads to."""
_CONFIGURED = """\
version = 3
root = "{root}"
state = "/run/containerd"
[plugins."io.containerd.cri.v1.runtime"]
  enable_cdi = true
  cdi_spec_dirs = [{folders}]
"""
_UP_WITHIN = 20.0


class Containerd:
    """A containerd of our own in this mount namespace; `with` starts and ends it."""

    def __init__(self, programs: Path, work: Path, root: Path) -> None:
        """`root` is the containers' read-only root; each gets a writable layer above it."""
        self.programs, self.work, self.root = programs, work, root
        self._numbers = itertools.count(1)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Containerd:
        CONFIG.parent.mkdir(parents=True, exist_ok=True)
        folders = ", ".join(f'"{folder}"' for folder in FOLDERS)
        CONFIG.write_text(_CONFIGURED.format(root=self.work / "containerd", folders=folders))
        environment = {**os.environ, "PATH": f"{self.programs}:{PATH}"}
        environment.pop("LD_LIBRARY_PATH", None)
        with (self.work / "containerd.log").open("wb") as log:
            self._process = subprocess.Popen(
                [self.programs / "containerd", "--config", CONFIG], stdout=log, stderr=log, env=environment
            )
        until = time.monotonic() + _UP_WITHIN
        while run(self.programs / "ctr", "version").code != 0:
            if self._process.poll() is not None or time.monotonic() > until:
                raise RuntimeError("containerd did not come up:\n" + (self.work / "containerd.log").read_text()[-2000:])
            time.sleep(0.05)
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def container(self, command: str, how: Sequence[str] = ALL, seconds: float = 60) -> Said:
        """Run `sh -c COMMAND` in a fresh container to its end."""
        name = f"proof-{next(self._numbers)}"
        layer, merged = self.work / "layers" / name, self.work / "roots" / name
        overlay(merged, self.root, layer)
        try:
            words = [
                "ctr",
                "run",
                "--rm",
                "--rootfs",
                "--cgroup",
                f"/{CGROUP}/{name}",
                "--env",
                f"PATH={PATH}",
                *how,
                str(merged),
                name,
                "/bin/sh",
                "-c",
                command,
            ]
            called = f"ctr run {shlex.join(how)} ROOT sh -c {shlex.quote(command)}"
            environment = {"PATH": f"{self.programs}:{PATH}"}
            return run(self.programs / "ctr", *words[1:], env=environment, called=called, seconds=seconds)
        finally:
            self._forget(name, merged, layer)

    def _forget(self, name: str, merged: Path, layer: Path) -> None:
        for words in (("tasks", "rm", "--force"), ("containers", "rm")):  # what a failed start leaves
            run(self.programs / "ctr", *words, name)
        unmount(merged)
        merged.rmdir()
        shutil.rmtree(layer)
