"""Read-only layers of a node's root: a base as Talos has it (no shell), the NVIDIA extension of one driver version.

A node mounts them as one overlay without an upper layer, so its superblock is read-only like Talos's squashfs.
Layers lie in the cache, keyed by what went into them.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from lab.errors import LabRefused
from lab.gpu.build import build as build_gpu
from lab.paths import cache_root
from lab.tools import TOOLKIT

GLIBC = "usr/local/glibc/usr/lib"
"""Where the extension of Talos <= 1.12 keeps the driver's libraries."""

BASE_LIBRARIES = "lib/x86_64-linux-gnu"

_EMPTY = [
    "bin",
    "dev",
    "etc/cdi",
    "etc/cni/net.d",
    "etc/cri/conf.d",
    "etc/kubernetes",
    "etc/ssl/certs",
    "lib64",
    "mnt",
    "opt/cni/bin",
    "proc",
    "root",
    "run",
    "sbin",
    "sys",
    "system/state",
    "tmp",
    "usr/bin",
    "usr/lib/udev/rules.d",
    "usr/lib/x86_64-linux-gnu",
    "usr/local/bin",
    "usr/local/etc",
    "usr/local/lib",
    "usr/sbin",
    "var",
]

_HOST_TOOLS = (
    "/usr/bin/mount",
    "/usr/bin/umount",
    "/usr/sbin/xtables-nft-multi",
    "/usr/sbin/conntrack",
    "/usr/sbin/ip",
)
_IPTABLES = ("iptables", "iptables-save", "iptables-restore", "ip6tables", "ip6tables-save", "ip6tables-restore")
_CNI = ("bridge", "loopback", "host-local", "portmap")

_CONTAINERD_TOML = """\
version = 3
root = "/var/lib/containerd"
state = "/run/containerd"
oom_score = 0
imports = ["/etc/cri/conf.d/cri.toml"]
disabled_plugins = [
  "io.containerd.nri.v1.nri",
  "io.containerd.internal.v1.tracing",
  "io.containerd.tracing.processor.v1.otlp",
]

[grpc]
  address = "/run/containerd/containerd.sock"

[plugins."io.containerd.cri.v1.images"]
  snapshotter = "overlayfs"
  [plugins."io.containerd.cri.v1.images".pinned_images]
    sandbox = "lab.local/pause:1"

[plugins."io.containerd.cri.v1.runtime"]
  restrict_oom_score_adj = true
  disable_apparmor = true
  [plugins."io.containerd.cri.v1.runtime".cni]
    bin_dirs = ["/opt/cni/bin"]
    conf_dir = "/etc/cni/net.d"
  [plugins."io.containerd.cri.v1.runtime".containerd]
    default_runtime_name = "runc"
    [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
        BinaryName = "/bin/runc"
        SystemdCgroup = false
"""

# what the extension brings for the `nvidia` handler (siderolabs/extensions, 10-nvidia-container-runtime.part, 1.11)
EXTENSION_PART = """\
[plugins]
  [plugins."io.containerd.cri.v1.runtime"]
    [plugins."io.containerd.cri.v1.runtime".containerd]
      [plugins."io.containerd.cri.v1.runtime".containerd.runtimes]
        [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.nvidia]
          runtime_type = "io.containerd.runc.v2"
          [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.nvidia.options]
            BinaryName = "/usr/local/bin/nvidia-container-runtime"
"""

TOOLKIT_CONFIG = """\
[nvidia-container-cli]
load-kmods = false
ldcache = "/etc/ld.so.cache"
ldconfig = "@/sbin/ldconfig"

[nvidia-container-runtime]
debug = "/var/log/nvidia-container-runtime.log"
runtimes = ["/bin/runc"]
"""


def layer(name: str, facts: object, make: Callable[[Path], None]) -> Path:
    """The folder that `make` fills, made once per `facts`, below the cache."""
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()[:12]
    final = cache_root() / "layers" / f"{name}-{digest}"
    if not final.exists():
        scratch = final.with_name(f".{final.name}.{os.getpid()}")
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        make(scratch)
        try:
            scratch.rename(final)
        except OSError:
            if not final.exists():  # made by another command at the same time, which is as good
                raise
            shutil.rmtree(scratch)
    return final


def identity(paths: Iterable[Path | str]) -> list[tuple[str, int, int]]:
    """What a layer's files were made of: path, size, time. Raises LabRefused for one that is not there."""
    found = []
    for path in map(Path, paths):
        if not path.exists():
            raise LabRefused(f"{path} is not there", remedy="install the lab's system packages: make env")
        stat = path.stat()
        found.append((str(path), stat.st_size, stat.st_mtime_ns))
    return found


def copied(source: Path | str, target: Path) -> None:
    """A file of the layer; those in the cache are linked, not copied."""
    target.parent.mkdir(parents=True, exist_ok=True)
    ours = Path(source).resolve()
    if ours.is_relative_to(cache_root().resolve()):
        os.link(ours, target)  # the programs are half a gigabyte
    else:
        shutil.copy2(ours, target)


def _needed_libraries(program: Path | str) -> list[str]:
    said = subprocess.run(["ldd", str(program)], capture_output=True, text=True, check=False).stdout
    return re.findall(r"=> (/\S+) \(0x", said)


def base_layer(binaries: Path) -> Path:
    """The root of a Talos-like node without any extension."""
    programs = {
        "sbin/init": binaries / "lab-node",
        "bin/containerd": binaries / "containerd",
        "bin/containerd-shim-runc-v2": binaries / "containerd-shim-runc-v2",
        "bin/ctr": binaries / "ctr",
        "bin/runc": binaries / "runc",
        "usr/bin/kubelet": binaries / "kubelet",
        **{f"opt/cni/bin/{name}": Path("/usr/lib/cni") / name for name in _CNI},
        **{f"usr/sbin/{Path(tool).name}": Path(tool) for tool in _HOST_TOOLS},
        "sbin/ldconfig": Path("/sbin/ldconfig"),
    }
    facts = [identity(programs.values()), _EMPTY, _CONTAINERD_TOML, _file_texts()]
    return layer("base", facts, lambda root: _lay_base(root, programs))


def _file_texts() -> Mapping[str, str]:
    return {
        "etc/passwd": "root:x:0:0:root:/root:/none\n",
        "etc/group": "root:x:0:\n",
        "etc/hosts": "127.0.0.1 localhost\n",
        "etc/resolv.conf": "nameserver 127.0.0.1\n",
        "etc/cri/containerd.toml": _CONTAINERD_TOML,
    }


def _lay_base(root: Path, programs: Mapping[str, Path]) -> None:
    for folder in _EMPTY:
        (root / folder).mkdir(parents=True, exist_ok=True)
    for target, source in programs.items():
        copied(source, root / target)
        for library in _needed_libraries(source):
            _copy_once(library, root / BASE_LIBRARIES / Path(library).name)
    _copy_once("/lib64/ld-linux-x86-64.so.2", root / "lib64/ld-linux-x86-64.so.2")
    for alias in _IPTABLES:
        (root / "usr/sbin" / alias).symlink_to("xtables-nft-multi")
    modules = root / "usr/lib/x86_64-linux-gnu/xtables"
    shutil.copytree("/usr/lib/x86_64-linux-gnu/xtables", modules)
    for module in modules.glob("*.so"):
        for library in _needed_libraries(module):
            _copy_once(library, root / BASE_LIBRARIES / Path(library).name)
    for target, text in _file_texts().items():
        (root / target).write_text(text)


def _copy_once(source: Path | str, target: Path) -> None:
    if not target.exists():
        copied(source, target)


def driver_layer(binaries: Path, driver: str) -> Path:
    """The NVIDIA extension of Talos <= 1.12: driver libraries (mocks), toolkit behind the wrapper, containerd part."""
    gpu = cache_root() / "gpu" / driver
    build_gpu(gpu, driver)
    toolkit = (
        "nvidia-ctk",
        "nvidia-cdi-hook",
        "nvidia-container-runtime",
        "nvidia-container-runtime-hook",
        "nvidia-container-runtime.cdi",
    )
    wrapper = binaries / "nvidia-container-runtime-wrapper"
    facts = [
        identity([*(binaries / name for name in toolkit), wrapper, *sorted(gpu.iterdir())]),
        TOOLKIT,
        EXTENSION_PART,
        TOOLKIT_CONFIG,
    ]

    def lay(root: Path) -> None:
        bin_folder, libraries = root / "usr/local/bin", root / GLIBC
        bin_folder.mkdir(parents=True)
        libraries.mkdir(parents=True)
        copied(wrapper, bin_folder / wrapper.name)
        for name in toolkit:
            copied(binaries / name, bin_folder / f"{name}.real")
            (bin_folder / name).symlink_to(wrapper.name)
        for path in sorted(gpu.iterdir()):
            if path.name == "nvidia-smi":
                shutil.copy2(path, bin_folder / path.name)
            elif ".so" in path.name:
                # copied, never linked: a test that breaks one node's library must not reach another's
                shutil.copy2(path, libraries / path.name, follow_symlinks=False)
        for target, text in {
            "etc/ld.so.conf": f"/{GLIBC}\n/{BASE_LIBRARIES}\n",
            "etc/cri/conf.d/10-nvidia-container-runtime.part": EXTENSION_PART,
            "usr/local/etc/nvidia-container-runtime/config.toml": TOOLKIT_CONFIG,
        }.items():
            (root / target).parent.mkdir(parents=True, exist_ok=True)
            (root / target).write_text(text)
        subprocess.run(["/sbin/ldconfig", "-r", str(root)], check=True)

    return layer(f"driver-{driver}", facts, lay)
