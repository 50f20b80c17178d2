"""Compile the mock GPU: the driver libraries that CDI injects, and nvidia-smi."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from lab.errors import BuildFailed, LabRefused
from lab.gpu.control import TRAILER_SIZE, trailer

SYSTEM_PACKAGES = ("gcc", "libc6-dev", "libffmpeg-nvenc-dev")
"""Debian packages that `build` needs; the last has NVIDIA's NVENC and CUDA headers (MIT)."""

DRIVER = "535.247.01"

_SHARED = ("settings.c",)

_SOURCES: Mapping[str, tuple[str, ...]] = {
    "libnvidia-ml": ("nvml.c", "gpu.c"),
    "libcuda": ("cuda.c", "cuda_errors.c", "cuda_memory.c", "cuda_work.c", "gpu.c"),
    "libnvidia-encode": (
        "nvenc.c",
        "nvenc_config.c",
        "nvenc_encode.c",
        "stream.c",
        "h264.c",
        "hevc.c",
        "cabac.c",
        "gpu.c",
    ),
    "libnvcuvid": ("nvdec.c",),
}

_SMI_SOURCES = ("smi.c", "smi_query.c")

DUMMIES: Mapping[str, str] = {
    "libcudadebugger": "so.1",
    "libnvidia-allocator": "so.1",
    "libnvidia-cfg": "so.1",
    "libnvidia-eglcore": "so.{driver}",
    "libnvidia-fbc": "so.1",
    "libnvidia-glcore": "so.{driver}",
    "libnvidia-glsi": "so.{driver}",
    "libnvidia-glvkspirv": "so.{driver}",
    "libnvidia-nvvm": "so.4",
    "libnvidia-opencl": "so.1",
    "libnvidia-opticalflow": "so.1",
    "libnvidia-ptxjitcompiler": "so.1",
    "libnvidia-rtcore": "so.{driver}",
    "libnvidia-tls": "so.{driver}",
    "libEGL_nvidia": "so.0",
    "libGLESv1_CM_nvidia": "so.1",
    "libGLESv2_nvidia": "so.2",
    "libGLX_nvidia": "so.0",
    "libnvoptix": "so.1",
}
"""The other libraries of a 535 driver, empty here, with the ends of their sonames (manifest of the .run installer)."""

_LINKS: Mapping[str, str] = {
    "libnvidia-ml.so.1": "libnvidia-ml.so.{driver}",
    "libcuda.so.1": "libcuda.so.{driver}",
    "libcuda.so": "libcuda.so.1",
    "libnvidia-encode.so.1": "libnvidia-encode.so.{driver}",
    "libnvcuvid.so.1": "libnvcuvid.so.{driver}",
}

_FLAGS = ("-std=gnu11", "-O2", "-g0", "-Wall", "-Wextra", "-Wl,--build-id=none", "-s")
_LIBRARY_FLAGS = ("-fPIC", "-shared", "-fvisibility=hidden", "-Wl,--no-undefined")


def build(out: Path, driver: str = DRIVER) -> None:
    """Compile the libraries, the dummies and nvidia-smi for `driver` into `out`; nothing where they are up to date.

    `out` then holds lib*.so.<driver>, the links of their sonames, and nvidia-smi, and nothing else but `.stamp`. The
    same compiler, headers and sources give the same bytes. Raises BuildFailed with the compiler's words.
    """
    stamp = out / ".stamp"
    wanted = _stamp(driver)
    if stamp.is_file() and stamp.read_text() == wanted:
        return
    out.parent.mkdir(parents=True, exist_ok=True)
    with (out.parent / f".{out.name}.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)  # of two labs made at once one compiles, and takes nothing from the other
        if not (stamp.is_file() and stamp.read_text() == wanted):
            _replace(out, driver, wanted)


def _replace(out: Path, driver: str, stamp: str) -> None:
    scratch = Path(tempfile.mkdtemp(prefix=f"{out.name}.", dir=out.parent))
    try:
        scratch.chmod(0o755)
        _compile(scratch, driver)
        (scratch / ".stamp").write_text(stamp)
        if out.exists():
            shutil.rmtree(out)
        scratch.rename(out)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _sources() -> Path:
    return Path(__file__).parent


def _stamp(driver: str) -> str:
    digest = hashlib.sha256(driver.encode())
    for path in sorted([*_sources().glob("*.[ch]"), _sources() / "build.py"]):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    header = Path("/usr/include/ffnvcodec/nvEncodeAPI.h")
    if not header.is_file():
        raise LabRefused(
            "NVIDIA's NVENC header is not installed",
            remedy=f"as root: apt-get install -y --no-install-recommends {' '.join(SYSTEM_PACKAGES)}",
        )
    digest.update(header.read_bytes())
    return digest.hexdigest() + "\n"


def _compile(out: Path, driver: str) -> None:
    define = f'-DDRIVER="{driver}"'
    for name, sources in _SOURCES.items():
        library = out / f"{name}.so.{driver}"
        _gcc(*_LIBRARY_FLAGS, define, f"-Wl,-soname,{name}.so.1", out=library, sources=(*sources, *_SHARED))
        _add_trailer(library)
    for name, end in DUMMIES.items():
        soname = f"{name}.{end.format(driver=driver)}"
        _gcc(
            *_LIBRARY_FLAGS, "-nostdlib", f"-Wl,-soname,{soname}", out=out / f"{name}.so.{driver}", sources=("dummy.c",)
        )
    _gcc(define, out=out / "nvidia-smi", sources=_SMI_SOURCES)
    links = {f"{name}.{end}": f"{name}.so.{driver}" for name, end in DUMMIES.items() if "{" not in end}
    for name, target in {**_LINKS, **links}.items():
        (out / name).symlink_to(target.format(driver=driver))


def _gcc(*flags: str, out: Path, sources: tuple[str, ...]) -> None:
    environment = dict(os.environ, LC_ALL="C", SOURCE_DATE_EPOCH="0")
    command = ["gcc", *_FLAGS, *flags, "-o", str(out), *sources, "-ldl"]
    done = subprocess.run(command, cwd=_sources(), env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BuildFailed(out.name, done.stderr)


def _add_trailer(library: Path) -> None:
    """Append an empty trailer, on a multiple of its own size: no page border ever goes through it."""
    content = library.read_bytes()
    padding = -len(content) % TRAILER_SIZE
    library.write_bytes(content + b"\0" * padding + trailer({}))
