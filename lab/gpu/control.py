"""Settings of the mock GPU: what the GPU is, and in which way it fails, changed while containers use it.

A setting lies in a trailer behind each library's ELF file (settings.h). CDI bind-mounts the libraries, so a trailer
that is rewritten in place (the same inode) is seen at once in every container.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote, unquote

from lab.errors import LabRefused

SETTINGS: Mapping[str, str] = {
    "name": "the GPU's name",
    "uuid": "its UUID, GPU-...",
    "pci": "its address, 0000:01:00.0",
    "mem": "its memory in MiB",
    "mem_used": "MiB in use, as nvidia-smi says it",
    "gpu_load": "percent, as nvidia-smi says it",
    "encoder_load": "percent; without it 25 for each open session",
    "nodes": "0: device nodes are not looked at",
    "uvm_major": "the kernel's major of nvidia-uvm; a node with another is stale: cuInit 999",
    "kernel": "version of the loaded kernel module; another than the library's: cuInit 803, NVML 18",
    "nvml": "nvmlInit's result",
    "cuinit": "cuInit's result",
    "ctx": "cuCtxCreate's result: 2 out of memory, 46 busy",
    "devices": "how many GPUs CUDA and NVML count",
    "ptx": "cuModuleLoadData's result: 221 no PTX JIT compiler",
    "api": "newest NVENC API, MAJOR.MINOR: 10.0 is a driver too old for ffmpeg",
    "nvenc_open": "NvEncOpenEncodeSessionEx's result: 2 unsupported device, 10 out of memory, 21 session limit",
    "nvenc_init": "NvEncInitializeEncoder's result",
    "codecs": "none, h264, hevc or h264+hevc: what the GPU encodes",
    "sessions": "NVENC session limit over all containers; 0: none",
    "encode_fail": "FRAME:STATUS: encoding fails from that frame on (20: GPU lost)",
    "hang": "FRAME: encoding never returns from that frame on",
    "fps": "pictures a second that the encoder keeps to; 0: as fast as the CPU",
    "fill": "0: pictures are not filled up to the asked bit rate",
    "qp": "quantiser that the encoder reports",
    "nvdec": "cuvidGetDecoderCaps' result",
    "nvdec_decode": "cuvidDecodePicture's result",
}
"""Every key that the libraries read, with what it does."""

LIBRARIES = ("libnvidia-ml", "libcuda", "libnvidia-encode", "libnvcuvid")
"""Those that read settings."""

TRAILER_SIZE = 512
"""settings.h: MOCK_TRAILER_SIZE."""

_MARKER = b"\nMOCKGPU "


class SettingUnknown(LabRefused):
    """A key that no library reads."""

    def __init__(self, key: str) -> None:
        super().__init__(f"the mock GPU has no setting {key!r}", remedy=f"one of {', '.join(SETTINGS)}")


class LibrariesMissing(LabRefused):
    """A folder without the mock GPU's libraries."""

    def __init__(self, folder: Path) -> None:
        super().__init__(f"{folder} holds no mock GPU library", remedy="name the folder that lab.gpu.build made")


def trailer(settings: Mapping[str, str]) -> bytes:
    """The trailer's bytes, TRAILER_SIZE of them. Raises SettingUnknown, and LabRefused where they do not fit."""
    for key in settings:
        if key not in SETTINGS:
            raise SettingUnknown(key)
    words = " ".join(f"{key}={quote(value, safe='/:+')}" for key, value in sorted(settings.items()))
    body = _MARKER + words.encode()
    if len(body) >= TRAILER_SIZE:
        raise LabRefused(f"settings of {len(body)} bytes are too long for the trailer", remedy="set fewer at once")
    return body.ljust(TRAILER_SIZE - 1) + b"\n"


def _own_trailer(file: int) -> tuple[int, bytes]:
    size = os.fstat(file).st_size
    start = max(size - TRAILER_SIZE, 0)
    tail = os.pread(file, TRAILER_SIZE, start)
    return start, tail if len(tail) == TRAILER_SIZE and tail.startswith(_MARKER) else b""


def libraries(folder: Path) -> list[Path]:
    """The files in a folder that read settings. Raises LibrariesMissing."""
    found = [path for name in LIBRARIES for path in folder.glob(f"{name}.so.*.*") if not path.is_symlink()]
    if not found:
        raise LibrariesMissing(folder)
    return sorted(found)


def configure(lib_dir: Path, settings: Mapping[str, str]) -> None:
    """Put `settings` in force, all others back to their defaults, for every process that has these libraries.

    Each file is changed by one write of its last 512 bytes, which lie within one page, so a reader sees the old or the
    new. Raises SettingUnknown and LibrariesMissing before anything is changed.
    """
    body = trailer(settings)
    for path in libraries(lib_dir):
        file = os.open(path, os.O_RDWR)
        try:
            start, tail = _own_trailer(file)
            if not tail:
                raise LibrariesMissing(lib_dir)
            os.pwrite(file, body, start)
        finally:
            os.close(file)


def settings(lib_dir: Path) -> dict[str, str]:
    """The settings in force. Raises LibrariesMissing where the folder has none, or where its files disagree."""
    bodies = set()
    for path in libraries(lib_dir):
        file = os.open(path, os.O_RDONLY)
        try:
            bodies.add(_own_trailer(file)[1])
        finally:
            os.close(file)
    if len(bodies) != 1 or b"" in bodies:
        raise LibrariesMissing(lib_dir)
    words = bodies.pop()[len(_MARKER) :].decode().split()
    return {key: unquote(value) for key, _, value in (word.partition("=") for word in words)}
