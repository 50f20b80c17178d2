"""What this machine is, and why `prove` would not run on it."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gpu_proof.redact import kernel
from lab.layers import GLIBC

INSTALLED = (
    "/etc/cdi",
    "/var/run/cdi",
    "/etc/containerd/config.toml",
    "/run/containerd/containerd.sock",
    "/etc/nvidia-container-runtime",
    "/usr/local/etc/nvidia-container-runtime",
    *(
        f"/usr/local/bin/{name}{end}"
        for name in ("nvidia-ctk", "nvidia-cdi-hook", "nvidia-container-runtime", "nvidia-container-runtime.cdi")
        for end in ("", ".real")
    ),
    f"/{GLIBC}",
)
"""Paths of a real installation: `prove` puts its own files there, in a mount namespace of its own."""
_PROGRAMS = ("unshare", "nsenter", "mount", "umount", "ldconfig", "ldd", "nvidia-smi")
_VERSION = re.compile(r"\b(\d{3}\.\d+(?:\.\d+)?)\b")


def reasons_against(root: Path = Path("/")) -> Iterator[str]:
    """Every reason not to run here, each with what would change it."""
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        yield f"this is {platform.system()} on {platform.machine()}, the bundle's programs are for Linux on x86_64"
    if os.geteuid() != 0:
        yield "namespaces, mounts and cgroups need root: run it as root"
    if not (root / "sys/fs/cgroup/cgroup.controllers").exists():
        yield "cgroup v2 alone is proven here, and /sys/fs/cgroup is no unified hierarchy: boot with it"
    if not (root / "proc/driver/nvidia/version").exists():
        yield "no NVIDIA driver is loaded (/proc/driver/nvidia/version): load nvidia and nvidia_uvm"
    for node in ("nvidia0", "nvidiactl", "nvidia-uvm"):
        if not (root / "dev" / node).exists():
            yield f"/dev/{node} is not there: nvidia-modprobe -u -c 0 makes it"
    for path in INSTALLED:
        there = root / path.lstrip("/")
        if there.is_dir() and not any(there.iterdir()):
            continue
        if there.exists() or there.is_symlink():
            yield f"{path} belongs to a real installation: use a machine without one, or move it away"
    lacking = [name for name in _PROGRAMS if not shutil.which(name)]
    if lacking:
        yield f"{', '.join(lacking)} not on PATH: install util-linux, the C library's programs, the driver's nvidia-smi"


def driver() -> str:
    """The loaded driver's version: `580.159.04`."""
    text = Path("/proc/driver/nvidia/version").read_text()
    found = _VERSION.search(text)
    if found is None:
        raise ValueError(f"/proc/driver/nvidia/version names no version: {text!r}")
    return found[1]


def facts() -> dict[str, Any]:
    """GPU, driver, kernel and what else the evidence is about; nothing that tells where it was."""
    query = "name,memory.total,compute_cap,mig.mode.current,encoder.stats.sessionCount"
    said = subprocess.run(
        ["nvidia-smi", f"--query-gpu={query}", "--format=csv,noheader"], capture_output=True, text=True, check=True
    ).stdout.strip()
    gpus = [
        dict(zip(query.split(","), (part.strip() for part in line.split(",")), strict=True))
        for line in said.splitlines()
    ]
    release = dict(line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if "=" in line)
    return {
        "gpus": gpus,
        "driver": driver(),
        "kernel": kernel(platform.release()),
        "module": Path("/proc/driver/nvidia/version").read_text().splitlines()[0],
        "system": release.get("PRETTY_NAME", "").strip('"'),
        "libc": " ".join(platform.libc_ver()),
        "python": platform.python_version(),
        "cgroup": "v2, controllers " + Path("/sys/fs/cgroup/cgroup.controllers").read_text().strip(),
        "processors": os.cpu_count(),
    }
