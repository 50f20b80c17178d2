"""Our wheel and its locked dependencies, once for each Python that `prove` may find."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from lab.errors import BuildFailed
from lab.paths import PROJECT

PYTHONS = ("3.11", "3.12", "3.13")
PLATFORM = "x86_64-manylinux_2_28"
_SOURCES = (".c", ".pyx", ".pxd", ".h", ".pyi")
"""What some wheels carry beside what was compiled from it."""
_UV = PROJECT / ".tools" / "bin" / "uv"


def install(site: Path) -> None:
    """Fill `site`/RELEASE for each of PYTHONS; what is the same in several is one file with several names."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        _uv("build", "--wheel", "--quiet", "--out-dir", scratch, str(PROJECT))
        [wheel] = folder.glob("*.whl")
        locked = folder / "locked.txt"
        _uv(
            "export",
            "--quiet",
            "--locked",
            "--project",
            str(PROJECT),
            "--no-default-groups",
            "--no-emit-project",
            "--output-file",
            str(locked),
        )
        for release in PYTHONS:
            where = (
                "--quiet",
                "--target",
                str(site / release),
                "--python-version",
                release,
                "--python-platform",
                PLATFORM,
            )
            only = ("--only-binary", ":all:", "--link-mode", "copy")
            _uv("pip", "install", *where, *only, "--require-hashes", "--requirement", str(locked))
            _uv("pip", "install", *where, *only, "--no-deps", str(wheel))
    for cache in (*site.rglob("__pycache__"), *site.glob("*/bin")):
        shutil.rmtree(cache)
    for source in (path for ending in _SOURCES for path in site.rglob(f"*{ending}")):
        source.unlink()
    for program in site.rglob("*.so"):
        subprocess.run(["strip", "--strip-unneeded", program], check=True)
    _share(site)


def _uv(*words: str) -> None:
    done = subprocess.run([_UV, *words], capture_output=True, text=True, check=False, cwd=PROJECT)
    if done.returncode:
        raise BuildFailed(f"uv {words[0]}", done.stderr)


def _share(folder: Path) -> None:
    first: dict[str, Path] = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()):
        mode = path.stat().st_mode
        same = first.setdefault(f"{mode} {hashlib.sha256(path.read_bytes()).hexdigest()}", path)
        if same != path:
            path.unlink()
            os.link(same, path)
