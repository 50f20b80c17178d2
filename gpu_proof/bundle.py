"""`python -m gpu_proof.bundle -o FILE`: packs what a machine with a GPU needs to run `prove`, into one .tar.xz.

Built from the lab's own toolchain and layers, so that what is proven there is what the lab runs here.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

from gpu_proof import wheels
from gpu_proof.parts import BEHIND, WRAPPER
from lab import system, toolchain, tools
from lab.errors import BuildFailed
from lab.gpu.build import SYSTEM_PACKAGES
from lab.images import build_images
from lab.layers import base_layer, driver_layer
from lab.nodes import DRIVER
from lab.paths import PROJECT, cache_root
from talos_gpu.cdi import Library
from tests.cdi.oracle_client import build as build_oracle

MOST_BYTES = 60_000_000
_LZMA = "--lzma2=preset=6,dict=96MiB"
"""Holds all releases of one Go program at once: what they have in common is packed once."""
PICTURES = 12
_BIN = ("containerd", "containerd-shim-runc-v2", "ctr", "runc", "lab-node", WRAPPER, *BEHIND)
_CODE = (
    "gpu_proof/*.py",
    "lab/**/*.py",
    "bench/__init__.py",
    "bench/rounds.py",
    "bench/timing.py",
    "tests/cdi/oracle_client.py",
    "tests/doctor/blinded.py",
    "components/installer/*.sh",
)
_NOT_NEEDED = ("usr/bin/kubelet",)
"""Of the base layer: a node without a cluster starts no kubelet."""
_CLIP = (
    "-f",
    "lavfi",
    "-i",
    f"testsrc2=size=320x192:rate=12:duration={PICTURES / 12:g}",
    "-c:v",
    "libx264",
    "-pix_fmt",
    "yuv420p",
    "-bf",
    "2",
    "-g",
    "6",
    "-bsf:v",
    "h264_mp4toannexb",
    "-f",
    "h264",
)


def main() -> None:
    """The command; exits with 1 where the bundle is larger than allowed."""
    options = argparse.ArgumentParser(prog="gpu_proof.bundle", description=__doc__)
    options.add_argument("-o", "--out", type=Path, default=PROJECT / "dist" / "gpu-bundle.tar.xz")
    out: Path = options.parse_args().out
    with tempfile.TemporaryDirectory(dir=_scratch_folder()) as scratch:
        top = Path(scratch) / "gpu-bundle"
        lay(top)
        out.parent.mkdir(parents=True, exist_ok=True)
        pack(top, out)
    size = out.stat().st_size
    print(f"{out}: {size / 1e6:.1f} MB of at most {MOST_BYTES / 1e6:.0f} MB")
    if size > MOST_BYTES:
        raise SystemExit(1)


def _scratch_folder() -> Path:
    """Beside the built programs, so that they are linked and not copied."""
    cache_root().mkdir(parents=True, exist_ok=True)
    return cache_root()


def lay(top: Path) -> None:
    """The bundle's folders below `top`."""
    system.ensure([*system.NODE_PACKAGES, *SYSTEM_PACKAGES, "ffmpeg"])
    binaries = toolchain.ensure(tools.NODE_TOOLS + _kubelet())
    for name in _BIN:
        _link(binaries / name, top / "bin" / name)
    for tool in tools.LATER_TOOLKITS:
        folder = toolchain.built(tool)
        for name in tool.programs:
            _link(folder / name, top / "toolkits" / tool.version / name)
    (top / "oracle").mkdir()
    for library in Library:
        build_oracle(top / "oracle", library)
    _lay_work(top / "work")
    _lay_layers(binaries, top / "layers")
    lay_code(top / "code")
    wheels.install(top / "site")
    _copy(PROJECT / "gpu_proof" / "prove", top / "prove")
    versions = {
        "containerd": tools.CONTAINERD,
        "runc": tools.RUNC,
        "lab": "containerd tier, pretended Talos and GPU",
        "toolkits": ", ".join([tools.TOOLKIT, *(tool.version for tool in tools.LATER_TOOLKITS)]),
        "go": _said([str(toolchain.go_program()), "env", "GOVERSION"]),
    }
    (top / "versions.json").write_text(json.dumps(versions, indent=1) + "\n")


def lay_code(folder: Path) -> None:
    """The project's own modules that `prove` runs, below `folder`; `talos_gpu` comes as its wheel."""
    for pattern in _CODE:
        for path in sorted(PROJECT.glob(pattern)):
            _copy(path, folder / path.relative_to(PROJECT))


def _kubelet() -> tuple[tools.Tool, ...]:
    """The lab's layer is made with it; the bundle leaves it out."""
    return tuple(tool for tool in tools.CLUSTER_TOOLS if "kubelet" in tool.programs)


def _lay_work(folder: Path) -> None:
    folder.mkdir()
    sources = sorted((PROJECT / "gpu_proof" / "work").glob("*.c"))
    _run(
        [
            "gcc",
            "-std=gnu11",
            "-O2",
            "-Wall",
            "-Wextra",
            "-Werror",
            "-s",
            "-o",
            str(folder / "gpu-work"),
            *map(str, sources),
            "-ldl",
        ]
    )
    clip = folder / "clip.h264"
    _run(["ffmpeg", "-v", "error", *_CLIP, str(clip)])
    decoded = _run(
        [
            "ffmpeg",
            "-v",
            "error",
            "-i",
            str(clip),
            "-f",
            "rawvideo",
            "-pix_fmt",
            "nv12",
            "-fps_mode",
            "passthrough",
            "-",
        ]
    )
    wanted = {"pictures": PICTURES, "bytes": len(decoded), "sha256": hashlib.sha256(decoded).hexdigest()}
    if len(decoded) != PICTURES * 320 * 192 * 3 // 2:
        raise BuildFailed("the clip", f"{len(decoded)} bytes of pictures were decoded")
    (folder / "clip.json").write_text(json.dumps(wanted) + "\n")


def _lay_layers(binaries: Path, folder: Path) -> None:
    for name, layer in (("base", base_layer(binaries)), ("driver", driver_layer(binaries, DRIVER))):
        shutil.copytree(layer, folder / name, symlinks=True, copy_function=_link, ignore=_leave_out(layer))
    images = build_images(cache_root() / "images", cache_root() / "images")
    for image in images:
        if image.archive.name.startswith("node-tools-"):
            _link(image.archive, folder / image.archive.name)


def _leave_out(layer: Path) -> Callable[[str, list[str]], set[str]]:
    def ignored(folder: str, names: list[str]) -> set[str]:
        return {name for name in names if str((Path(folder) / name).relative_to(layer)) in _NOT_NEEDED}

    return ignored


def pack(top: Path, out: Path) -> None:
    """The folder as .tar.xz: owned by root, times zero, one file with several names once, alike files side by side."""
    everything = [top, *top.rglob("*")]
    folders = sorted(path for path in everything if path.is_dir() and not path.is_symlink())
    files = sorted(set(everything) - set(folders), key=lambda path: (path.name, path))
    with subprocess.Popen(["xz", "-T1", "--x86", _LZMA, "-c"], stdin=subprocess.PIPE, stdout=out.open("wb")) as process:
        with tarfile.open(fileobj=process.stdin, mode="w|", format=tarfile.GNU_FORMAT) as archive:
            for path in [*folders, *files]:
                member = archive.gettarinfo(path, path.relative_to(top.parent).as_posix())
                member.mtime, member.uid, member.gid, member.uname, member.gname = 0, 0, 0, "root", "root"
                if member.isreg():
                    with path.open("rb") as content:
                        archive.addfile(member, content)
                else:
                    archive.addfile(member)
        if process.stdin is not None:
            process.stdin.close()
    if process.returncode:
        raise BuildFailed("xz", f"ended with {process.returncode}")


def _link(source: str | Path, target: str | Path) -> None:
    Path(target).parent.mkdir(parents=True, exist_ok=True)
    if Path(source).is_symlink():
        Path(target).symlink_to(Path(source).readlink())
        return
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(source, target)


def _run(command: list[str]) -> bytes:
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        raise BuildFailed(command[0], done.stderr.decode(errors="replace"))
    return done.stdout


def _said(command: list[str]) -> str:
    return _run(command).decode().strip()


if __name__ == "__main__":
    main()
