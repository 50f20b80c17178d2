"""A root filesystem in memory: what an image's layer is made of."""

from __future__ import annotations

import hashlib
import io
import os
import re
import subprocess
import tarfile
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from lab.errors import LabRefused

LIBRARIES = "usr/lib/x86_64-linux-gnu"
"""Debian's libc looks here, not in /lib64, which holds the loader alone."""

_MERGED = ("bin", "sbin", "lib", "lib64")
"""Debian's merged /usr: /bin and its like are links into it."""

_EMPTY_FOLDERS = ("dev", "etc", "home", "mnt", "opt", "proc", "root", "run", "srv", "sys", "usr/local/bin", "var/log")

_LD_SO_CONF = {
    "etc/ld.so.conf": "include /etc/ld.so.conf.d/*.conf\n",
    "etc/ld.so.conf.d/libc.conf": "/usr/local/lib\n",
    "etc/ld.so.conf.d/x86_64-linux-gnu.conf": "/usr/local/lib/x86_64-linux-gnu\n/lib/x86_64-linux-gnu\n"
    "/usr/lib/x86_64-linux-gnu\n",
}


@dataclass(frozen=True, slots=True)
class Link:
    """A symbolic link to `target`."""

    target: str


@dataclass(frozen=True, slots=True)
class File:
    """A regular file: its content, or where on this machine it is, and its mode."""

    content: bytes | Path
    mode: int

    def read(self) -> bytes:
        """The content."""
        return self.content if isinstance(self.content, bytes) else self.content.read_bytes()


Entry = File | Link


@dataclass(slots=True)
class Tree:
    """Entries by their path in the image, without a leading slash and below the merged /usr."""

    entries: dict[str, Entry] = field(default_factory=dict)

    def copy(self) -> Tree:
        """A tree of the same entries that grows on its own."""
        return Tree(dict(self.entries))

    def add(self, path: str, content: bytes | Path, mode: int | None = None) -> None:
        """Put a file at `path`; without `mode` it has that of its source, readable by all."""
        if mode is None:
            mode = 0o644 if isinstance(content, bytes) else content.stat().st_mode & 0o755 | 0o444
        self.entries[_merged(path)] = File(content, mode)

    def link(self, path: str, target: str) -> None:
        """Put a symbolic link at `path`."""
        self.entries[_merged(path)] = Link(target)

    def add_programs(self, paths: Iterable[str]) -> None:
        """Put programs of this machine where they are here, with every library that ldd finds for them.

        Links (awk -> mawk by way of /etc/alternatives) become files. Raises LabRefused for a program that is not
        installed or lacks a library.
        """
        sources = {}
        for path in paths:
            source = Path(path)
            if not source.is_file():
                raise LabRefused(f"{path} is not installed", remedy="install the lab's system packages: make env")
            sources[path] = source.resolve()
            self.add(path, sources[path])
        for library in libraries_of(sorted(set(map(str, sources.values())))):
            place = library if "/ld-linux" in library else f"{LIBRARIES}/{PurePosixPath(library).name}"
            self.add(place, Path(library).resolve())

    def add_loader_cache(self) -> None:
        """Put ld.so.conf and a real /etc/ld.so.cache of the tree, made by `ldconfig -r`.

        Without that file `nvidia-cdi-hook update-ldcache` runs `ldconfig -N`: it makes the soname links and no cache,
        and libcuda.so.1 is not found in the container.
        """
        for path, text in _LD_SO_CONF.items():
            self.add(path, text.encode())
        with tempfile.TemporaryDirectory(prefix="lab-image-") as scratch:
            root = Path(scratch)
            for name in _MERGED:
                (root / name).symlink_to(f"usr/{name}")
            for path, entry in self.entries.items():
                if isinstance(entry, File) and (".so" in path or path.startswith("etc/ld.so")):
                    (root / path).parent.mkdir(parents=True, exist_ok=True)
                    (root / path).write_bytes(entry.read())
            subprocess.run(["/sbin/ldconfig", "-X", "-r", scratch], check=True, capture_output=True)
            self.add("etc/ld.so.cache", (root / "etc/ld.so.cache").read_bytes())
        self.add_programs(["/sbin/ldconfig"])

    def key(self) -> list[tuple[str, str, int]]:
        """What the tree's bytes depend on, cheap to learn: sources by path, size and time; content by itself."""
        return [(path, *_facts(entry)) for path, entry in sorted(self.entries.items())]

    def tar(self) -> bytes:
        """The layer: sorted, owned by root, times zero; the same entries give the same bytes."""
        raw = io.BytesIO()
        with tarfile.open(fileobj=raw, mode="w", format=tarfile.GNU_FORMAT) as archive:
            for folder in sorted(self._folders()):
                archive.addfile(_member(folder, tarfile.DIRTYPE, 0o1777 if folder in ("tmp", "var/tmp") else 0o755))
            for name in _MERGED:
                archive.addfile(_member(name, tarfile.SYMTYPE, 0o777, f"usr/{name}"))
            for path, entry in sorted(self.entries.items()):
                if isinstance(entry, Link):
                    archive.addfile(_member(path, tarfile.SYMTYPE, 0o777, entry.target))
                else:
                    content = entry.read()
                    member = _member(path, tarfile.REGTYPE, entry.mode)
                    member.size = len(content)
                    archive.addfile(member, io.BytesIO(content))
        return raw.getvalue()

    def _folders(self) -> set[str]:
        leaves = {str(PurePosixPath(path).parent) for path in self.entries}
        leaves |= {*_EMPTY_FOLDERS, "tmp", "var/tmp", *(f"usr/{name}" for name in _MERGED)}
        parents = {str(parent) for leaf in leaves for parent in PurePosixPath(leaf).parents}
        return (leaves | parents) - {"."}


def libraries_of(programs: Iterable[str]) -> list[str]:
    """Paths of the shared libraries that `programs` are linked with, the loader included.

    Raises LabRefused where the machine lacks one. Static programs have none.
    """
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C"}
    done = subprocess.run(["ldd", *programs], capture_output=True, text=True, env=environment, check=False)
    lacking = re.findall(r"^\s*(\S+) => not found", done.stdout, re.MULTILINE)
    if lacking:
        raise LabRefused(f"libraries are missing on this machine: {', '.join(sorted(set(lacking)))}")
    return sorted(set(re.findall(r"(/\S+) \(0x", done.stdout)))


def tree_of(files: Mapping[str, Path | bytes | Link]) -> Tree:
    """A tree of the given files; content given as bytes that starts with `#!` or an ELF header is executable."""
    tree = Tree()
    for path, content in files.items():
        if isinstance(content, Link):
            tree.link(path, content.target)
        elif isinstance(content, bytes):
            tree.add(path, content, 0o755 if content.startswith((b"#!", b"\x7fELF")) else 0o644)
        else:
            tree.add(path, content)
    return tree


def _facts(entry: Entry) -> tuple[str, int]:
    if isinstance(entry, Link):
        return f"-> {entry.target}", 0
    if isinstance(entry.content, bytes):
        return hashlib.sha256(entry.content).hexdigest(), entry.mode
    found = entry.content.stat()
    return f"{entry.content} {found.st_size} {found.st_mtime_ns}", entry.mode


def _merged(path: str) -> str:
    path = path.lstrip("/")
    return f"usr/{path}" if path.split("/", 1)[0] in _MERGED else path


def _member(name: str, kind: bytes, mode: int, target: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.mode, member.linkname = kind, mode, target
    return member
