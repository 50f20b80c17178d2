"""A pretended host root for install.sh: the files of a Talos 1.11 node that the installer looks at."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from talos_gpu.cdi import Patched, Strategy, facts, facts_file, patch

REPOSITORY = Path(__file__).parents[2]
INSTALLER = REPOSITORY / "components/installer/install.sh"
FIXTURE = REPOSITORY / "tests/fixtures/cdi/p2000-535/toolkit-1.17.8.yaml"
DRIVER = "535.247.01"
INTERVAL = 0.2
# the majors and minors of /dev/null: a node that exists everywhere
NULL_MAJOR, NULL_MINOR = 1, 3
SECONDS = 60.0


def wait_for(what: str, condition: Callable[[], object], seen: Callable[[], object]) -> None:
    """Polls until the condition holds; fails with what was last seen."""
    deadline = time.monotonic() + SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {SECONDS} s for {what}; last seen: {seen()}")
        time.sleep(0.01)


@dataclass
class Host:
    """One node: its root, the payload of its stack and the installer's runs on it."""

    base: Path
    source: str = field(default_factory=FIXTURE.read_text)
    regenerate: str = "never"
    generate_again_cs: int = 3000
    generate_flags: str = ""
    interval: float = INTERVAL
    """Of the run that was started last: `check` allows three of them since its last look."""
    runs: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.base.mkdir(exist_ok=True)
        for folder in ("var/cdi", "run", "proc/driver/nvidia", "dev/dri", "tools"):
            self.path(folder).mkdir(parents=True)
        self.path("var/run").symlink_to("/run")
        self.path("var/cdi/nvidia.yaml").write_text(self.source)
        self.load_driver(DRIVER)
        self.patched: Patched = patch(self.source, Strategy.REAL)
        self.facts = facts(self.patched.text)
        for path in (*self.facts.host_paths, *self.facts.executables):
            self.path(path).parent.mkdir(parents=True, exist_ok=True)
            if path in self.facts.device_nodes:
                os.mknod(self.path(path), 0o20666, os.makedev(NULL_MAJOR, NULL_MINOR))
            else:
                self.path(path).write_text("")
                self.path(path).chmod(0o755)
        self.payload.mkdir()
        self.write_payload(self.patched.text, facts_file(self.patched, self.facts, node="lab-1"))

    @property
    def root(self) -> Path:
        return self.base / "root"

    @property
    def payload(self) -> Path:
        return self.base / "payload"

    @property
    def log_file(self) -> Path:
        return self.base / "log"

    @property
    def target(self) -> Path:
        return self.root / "run/cdi/nvidia.yaml"

    @property
    def status(self) -> Path:
        return self.base / "state/status"

    @property
    def log(self) -> str:
        """Everything the installer printed, without the times."""
        text = self.log_file.read_text() if self.log_file.exists() else ""
        return "".join(line.partition(" ")[2] for line in text.splitlines(keepends=True))

    @property
    def status_text(self) -> str:
        """The status file, "" before the first look."""
        return self.status.read_text() if self.status.exists() else ""

    def path(self, inside: str) -> Path:
        return self.root / inside.lstrip("/")

    def load_driver(self, version: str) -> None:
        text = (
            f"NVRM version: NVIDIA UNIX x86_64 Kernel Module  {version}  Thu Jun 12 17:36:36 UTC 2025\nGCC version:\n"
        )
        whole = self.base / "version"
        whole.write_text(text)
        whole.replace(self.path("proc/driver/nvidia/version"))

    def write_payload(self, spec: str, facts_text: str) -> None:
        (self.payload / "nvidia.yaml").write_text(spec)
        (self.payload / "facts").write_text(facts_text)

    def environment(self) -> dict[str, str]:
        return {
            "PATH": f"{self.path('tools')}:{os.environ['PATH']}",
            "HOST_ROOT": str(self.root),
            "PAYLOAD": str(self.payload),
            "INTERVAL": str(self.interval),
            "REGENERATE": self.regenerate,
            "GENERATE_AGAIN_CS": str(self.generate_again_cs),
            "GENERATE_FLAGS": self.generate_flags,
            "STATUS": str(self.status),
        }

    def start(self, interval: float = INTERVAL) -> subprocess.Popen[bytes]:
        self.interval = interval
        with self.log_file.open("ab") as log:
            run = subprocess.Popen(["dash", INSTALLER, "run"], env=self.environment(), stdout=log, stderr=log)
        self.runs.append(run)
        return run

    def check(self) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["dash", INSTALLER, "check"], env=self.environment(), capture_output=True, text=True, check=False
        )

    def stop(self) -> None:
        for run in self.runs:
            run.kill()
            run.wait()

    def installed(self) -> str | None:
        try:
            return self.target.read_text()
        except OSError:
            return None

    def wait_installed(self, text: str | None = None) -> None:
        wanted = self.patched.text if text is None else text
        wait_for("the spec in place", lambda: self.installed() == wanted, lambda: self.log)
        wait_for("readiness", lambda: self.check().returncode == 0, lambda: self.check().stdout + self.log)

    def wait_log(self, text: str, times: int = 1) -> None:
        wait_for(f"{text!r} in the log", lambda: self.log.count(text) >= times, lambda: self.log)

    def wait_refused(self, reason: str) -> None:
        self.wait_log(f"REFUSED: {reason}")

        def told() -> bool:
            return "state refused" in self.status_text and f"reason {reason}" in self.status_text

        wait_for("the status refused for it", told, lambda: self.status_text + self.log)

    def rounds(self, count: int) -> None:
        """Waits until the running installer has looked at the host `count` times more."""
        seen = {self.status_text}

        def enough() -> bool:
            seen.add(self.status_text)
            return len(seen) > count

        wait_for("more looks", enough, lambda: self.log)

    def files(self) -> set[str]:
        return {str(path.relative_to(self.root)) for path in self.root.rglob("*")}
