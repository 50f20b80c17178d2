"""A machine with the mock GPU: libraries of its own, device nodes in a private /dev, the real ffmpeg."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lab.gpu.control import configure

NODES: Mapping[str, tuple[int, int]] = {"nvidia0": (195, 0), "nvidiactl": (195, 255), "nvidia-uvm": (511, 0)}
"""Majors and minors as the lab's node has them."""

_PRIVATE_DEV = """
mount -t tmpfs none /dev
mknod -m 666 /dev/null c 1 3
mknod -m 666 /dev/zero c 1 5
mknod -m 666 /dev/urandom c 1 9
"""


@dataclass(frozen=True)
class Said:
    """How a program ended; `words` without the addresses that ffmpeg prints."""

    code: int
    words: str


@dataclass
class MockGpu:
    """The libraries in `folder` with the device nodes `nodes`."""

    folder: Path
    nodes: dict[str, tuple[int, int]] = field(default_factory=lambda: dict(NODES))

    def configure(self, **settings: str | int) -> None:
        configure(self.folder, {key: str(value) for key, value in settings.items()})

    def drop_libraries(self, names: Iterable[str]) -> None:
        for name in names:
            for path in self.folder.glob(f"{name}.so*"):
                path.unlink()

    def command(self, *words: str) -> list[str]:
        made = "".join(f"mknod -m 666 /dev/{name} c {major} {minor}\n" for name, (major, minor) in self.nodes.items())
        return ["unshare", "-m", "sh", "-ec", f'{_PRIVATE_DEV}{made}exec "$@"', "sh", *words]

    @property
    def environment(self) -> dict[str, str]:
        return {"PATH": os.environ["PATH"], "LD_LIBRARY_PATH": str(self.folder), "LC_ALL": "C"}

    def run(self, *words: str) -> Said:
        done = subprocess.run(
            self.command(*words),
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
            check=False,
        )
        return Said(done.returncode, re.sub(r" @ 0x[0-9a-f]+", "", done.stdout.replace("\r", "\n")))

    def smi(self, *words: str) -> Said:
        return self.run(str(self.folder / "nvidia-smi"), *words)

    def ffmpeg(self, *words: str) -> Said:
        return self.run("ffmpeg", "-hide_banner", "-nostdin", "-y", *words)

    def encode(self, out: str, *options: str, hwaccel: bool = False, source: str = "size=320x240:duration=2") -> Said:
        before = ["-hwaccel", "cuda"] if hwaccel else []
        return self.ffmpeg(*before, "-f", "lavfi", "-i", f"testsrc={source}:rate=30", *options, *_muxer(out))


def _muxer(out: str) -> Sequence[str]:
    return ("-f", "null", "-") if out == "-" else (out,)
