"""The lab's three images, and small ones for tests.

lab.local/pause:1       the pod sandbox
lab.local/node-tools:1  a Debian userland: what the generator and the installer use (real stacks: debian:*-slim)
lab.local/tdarr-node:1  the same with the real ffmpeg and a pretended Tdarr node as its entrypoint
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.errors import BuildFailed, LabRefused
from lab.images.oci import write_archive
from lab.images.tree import Link, Tree, tree_of

SYSTEM_PACKAGES = (
    "bash",
    "coreutils",
    "diffutils",
    "dash",
    "ffmpeg",
    "findutils",
    "gcc",
    "grep",
    "libc-bin",
    "libc6-dev",
    "mawk",
    "mount",
    "sed",
    "util-linux",
)
"""Debian packages that the images are made of, or made with."""

TOOL_PACKAGES = ("coreutils", "diffutils", "findutils", "grep", "sed")
"""Packages whose programs are packed whole; of the others those in _TOOLS."""

_TOOLS = (
    "/bin/bash",
    "/bin/dash",
    "/usr/bin/mawk",
    "/usr/bin/nsenter",
    "/usr/bin/findmnt",
    "/usr/bin/mount",
    "/usr/bin/umount",
)

_FORMAT = 1
"""Counted up when the builder itself packs the same files differently."""


@dataclass(frozen=True, slots=True)
class Image:
    """An image by the name that pods use, and its OCI archive."""

    name: str
    archive: Path


@dataclass(frozen=True, slots=True)
class _Recipe:
    name: str
    tree: Tree
    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    loader_cache: bool = True

    @property
    def file_name(self) -> str:
        facts = [_FORMAT, self.name, self.tree.key(), self.entrypoint, self.cmd]
        key = hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]
        return f"{self.name.rpartition('/')[2].replace(':', '-')}-{key}.tar"

    def write(self, out: Path) -> str:
        if self.loader_cache:
            self.tree.add_loader_cache()
        return write_archive(out, self.name, self.tree.tar(), entrypoint=self.entrypoint, cmd=self.cmd, env={})


def build_images(out: Path, cache: Path) -> list[Image]:
    """The lab's images as archives in `out`, pause first.

    Made once into `cache` under a key of all they hold, then found there (and linked into `out` where that is another
    folder); older ones of the same name are deleted from `cache`. Raises LabRefused where a package is missing.
    """
    out.mkdir(parents=True, exist_ok=True)
    cache.mkdir(parents=True, exist_ok=True)
    images = []
    userland = _userland()
    for recipe in (_pause(cache), _node_tools(userland), _tdarr_node(userland)):
        archive = cache / recipe.file_name
        if not archive.is_file():
            recipe.write(archive)
            for stale in cache.glob(f"{archive.name[:-21]}-{'?' * 16}.tar"):
                if stale != archive:
                    stale.unlink(missing_ok=True)
        images.append(Image(recipe.name, _in(out, archive)))
    return images


def _in(folder: Path, archive: Path) -> Path:
    target = folder / archive.name
    if not target.exists():
        target.hardlink_to(archive)
    return target


def image_of(
    out: Path,
    name: str,
    files: Mapping[str, Path | bytes | Link],
    cmd: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
) -> Image:
    """A small image of the given files (path in the image -> file here, content or link), written to the file `out`.

    Nothing else is in it but empty folders: a dynamic program needs its libraries given too.
    """
    write_archive(out, name, tree_of(files).tar(), entrypoint=(), cmd=cmd, env=env or {})
    return Image(name, out)


def _pause(cache: Path) -> _Recipe:
    source = Path(__file__).with_name("pause.c")
    program = cache / f"pause-{hashlib.sha256(source.read_bytes()).hexdigest()[:16]}"
    if not program.is_file():
        with tempfile.TemporaryDirectory(dir=cache) as scratch:
            made = Path(scratch) / "pause"
            flags = ("-static", "-O2", "-s", "-Wl,--build-id=none")
            done = subprocess.run(
                ["gcc", *flags, "-o", str(made), str(source)], capture_output=True, text=True, check=False
            )
            if done.returncode:
                raise BuildFailed("pause", done.stderr)
            made.replace(program)
    return _Recipe("lab.local/pause:1", tree_of({"pause": program.read_bytes()}), ("/pause",), loader_cache=False)


def programs_of(package: str) -> list[str]:
    """The programs that a Debian package has installed here."""
    done = subprocess.run(["dpkg-query", "-L", package], capture_output=True, text=True, check=False)
    if done.returncode:
        raise LabRefused(f"package {package} is not installed", remedy=f"apt-get install -y {package}")
    folders = ("/bin/", "/sbin/", "/usr/bin/", "/usr/sbin/")
    return [line for line in done.stdout.splitlines() if line.startswith(folders) and Path(line).is_file()]


def _userland() -> Tree:
    tree = Tree()
    tree.add_programs([*_TOOLS, *(program for package in TOOL_PACKAGES for program in programs_of(package))])
    tree.link("bin/sh", "dash")
    tree.link("usr/bin/awk", "mawk")
    tree.add(
        "etc/passwd", b"root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
    )
    tree.add("etc/group", b"root:x:0:\nvideo:x:44:\nnogroup:x:65534:\n")
    tree.add("etc/os-release", Path("/usr/lib/os-release"), 0o644)
    tree.add("etc/nsswitch.conf", b"passwd: files\ngroup: files\nhosts: files dns\n")
    return tree


def _node_tools(userland: Tree) -> _Recipe:
    return _Recipe("lab.local/node-tools:1", userland.copy(), cmd=("/bin/bash",))


def _tdarr_node(userland: Tree) -> _Recipe:
    tree = userland.copy()
    tree.add_programs(["/usr/bin/ffmpeg", "/usr/bin/ffprobe"])
    start = "/usr/local/bin/tdarr-node-pretended"
    tree.add(start, Path(__file__).with_name("tdarr-node-pretended").read_bytes(), 0o755)
    return _Recipe("lab.local/tdarr-node:1", tree, entrypoint=(start,))
