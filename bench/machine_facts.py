"""What figures were measured on."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path

from lab.paths import PROJECT


def facts() -> dict[str, str]:
    """CPU, cores, memory, kernel, Python, load before, the commit (`+` after it: with changes), and the time in UTC."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    memory = Path("/proc/meminfo").read_text().splitlines()[0].split()[1]
    return {
        "cpu": (models or ["unknown"])[0],
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{int(memory) / 1024**2:.0f} GiB",
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load before": " ".join(f"{load:.1f}" for load in os.getloadavg()),
        "commit": _commit(),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _commit() -> str:
    def git(*words: str) -> str:
        done = subprocess.run(["git", *words], cwd=PROJECT, capture_output=True, text=True, check=False)
        return done.stdout.strip() if done.returncode == 0 else ""

    commit = git("rev-parse", "--short=12", "HEAD")
    return f"{commit}{'+' if git('status', '--porcelain') else ''}" if commit else "unknown"
