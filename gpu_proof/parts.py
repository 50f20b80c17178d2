"""Our parts put where Talos's extension has them: wrapper, toolkit behind it, containerd, a container's root."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

from lab.images.tree import LIBRARIES, tree_of
from lab.tools import LATER_TOOLKITS, TOOLKIT

BIN = Path("/usr/local/bin")
WRAPPER = "nvidia-container-runtime-wrapper"
BEHIND = ("nvidia-ctk", "nvidia-cdi-hook", "nvidia-container-runtime", "nvidia-container-runtime.cdi")
TOOLKITS = (TOOLKIT, *(tool.version for tool in LATER_TOOLKITS))
"""Releases of the NVIDIA container toolkit in the bundle, the lab's first."""
OLDEST_TOOLKIT, NEWEST_TOOLKIT = TOOLKITS[0], TOOLKITS[-1]
_SHELL = ("/bin/sh", "/bin/ls", "/bin/cat", "/bin/true")
_SONAMES = ("libm.so.6", "libdl.so.2", "libpthread.so.0", "librt.so.1", "libgcc_s.so.1", "libstdc++.so.6")
"""What the driver's libraries are linked with."""


class Bundle:
    """The unpacked bundle."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bin = folder / "bin"
        self.work = folder / "work"
        self.layers = folder / "layers"
        self.sources = folder / "code"

    def versions(self) -> dict[str, str]:
        """What the builder wrote down: version by part."""
        versions: dict[str, str] = json.loads((self.folder / "versions.json").read_text())
        return versions

    def toolkit(self, release: str) -> Path:
        """The folder with that toolkit's programs."""
        return self.bin if release == TOOLKIT else self.folder / "toolkits" / release


def install_wrapper(bundle: Bundle) -> None:
    """The six-name wrapper and its links, as in the extensions of Talos 1.8 to 1.12."""
    shutil.copy2(bundle.bin / WRAPPER, BIN / WRAPPER)
    for name in BEHIND:
        (BIN / name).unlink(missing_ok=True)
        (BIN / name).symlink_to(WRAPPER)


def install_toolkit(bundle: Bundle, release: str) -> None:
    """The programs of a toolkit release behind the wrapper; later releases replace nvidia-ctk and the hook alone."""
    for name in BEHIND:
        source = bundle.toolkit(release) / name
        if source.exists():
            fresh = BIN / f".{name}.fresh"
            shutil.copy2(source, fresh)
            fresh.rename(BIN / f"{name}.real")


def lay_root(root: Path, programs: dict[str, Path]) -> None:
    """A container's root from this machine's shell and C library, without anything of NVIDIA's."""
    tree = tree_of(programs)
    tree.add_programs(_SHELL)
    for soname, path in _libraries().items():
        tree.add(f"{LIBRARIES}/{soname}", path.resolve())
    tree.add_loader_cache()
    root.mkdir(parents=True)
    subprocess.run(["tar", "-x", "-C", str(root)], input=tree.tar(), check=True)


def _libraries() -> dict[str, Path]:
    said = subprocess.run(["ldconfig", "-p"], capture_output=True, text=True, check=True).stdout
    found: dict[str, Path] = {}
    for line in said.splitlines():
        name, arrow, path = line.partition(" => ")
        words = name.split()
        if arrow and words and words[0] in _SONAMES and "x86-64" in name:
            found.setdefault(words[0], Path(path.strip()))
    return found
