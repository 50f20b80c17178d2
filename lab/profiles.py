"""Pretended facts of other Talos releases than the lab's default: node profiles, and the root that goes with them.

1.13, after siderolabs/extensions c5480f9 and siderolabs/talos f2bae55b8: no wrapper and no `.real`, libraries in
/usr/local/lib, links in /usr/bin, a service that writes /run/cdi/nvidia.yaml at every boot, and containerd told to read
/run/cdi. The node's init is built with machinery 1.13.9. Pretended beyond what 1.11's profile pretends: the toolkit
that runs is 1.17.8, so its configuration says mode `cdi`, where 1.19 would choose `jit-cdi` by itself, and lies where
the toolkit looks without the wrapper's env; containerd is 2.1.4.

1.14 is 1.13 with what its documents and sources say of it, and not proven: apply never restarts the node and refuses
the mode REBOOT; the kinds KernelModuleConfig, UdevRulesConfig and CRICustomizationConfig are read by code of the lab
(lab/node/internal/documents), because no machinery at hand knows them; containerd is restarted for a changed part.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lab.gpu.build import build as build_gpu
from lab.layers import BASE_LIBRARIES, EXTENSION_PART, TOOLKIT_CONFIG, copied, identity, layer
from lab.nodes import PROFILE
from lab.paths import cache_root
from lab.toolchain import built
from lab.tools import NODE_113, TOOLKIT

DRIVER_113 = "580.178"
PROFILE_113: Mapping[str, Any] = {
    **PROFILE,
    "talos": "v1.13.0",
    "kernel": "6.18.22-talos",
    "driver": DRIVER_113,
    "toolkit": "1.19.0",
    "extensions": [
        {"name": "nonfree-kmod-nvidia-lts", "version": f"{DRIVER_113}-v1.13.0"},
        {"name": "nvidia-container-toolkit-lts", "version": f"{DRIVER_113}-v1.19.0"},
    ],
    "cdi_service": True,
}
"""A node of Talos 1.13 with the same GPU."""

PROFILE_114: Mapping[str, Any] = {
    **PROFILE_113,
    "talos": "v1.14.0",
    "toolkit": "1.19.1",
    "extensions": [
        {"name": "nonfree-kmod-nvidia-lts", "version": f"{DRIVER_113}-v1.14.0"},
        {"name": "nvidia-container-toolkit-lts", "version": f"{DRIVER_113}-v1.19.1"},
    ],
}
"""A node of Talos 1.14 with the same GPU: from documents alone."""

LIBRARIES = "usr/local/lib"
_PROGRAMS = (
    "nvidia-ctk",
    "nvidia-cdi-hook",
    "nvidia-container-runtime",
    "nvidia-container-runtime-hook",
    "nvidia-container-runtime.cdi",
)
_CRI_PART = """\
[plugins."io.containerd.cri.v1.runtime"]
  enable_cdi = true
  cdi_spec_dirs = ["/run/cdi"]
"""
_CONFIG = TOOLKIT_CONFIG.replace("[nvidia-container-runtime]\n", '[nvidia-container-runtime]\nmode = "cdi"\n')


def native_layer(binaries: Path, driver: str) -> Path:
    """The NVIDIA extension of Talos 1.13 and 1.14, and what those releases themselves tell containerd of CDI.

    The node's init is the one with machinery 1.13.9, built on the first call.
    """
    init = built(NODE_113) / "lab-node"
    gpu = cache_root() / "gpu" / driver
    build_gpu(gpu, driver)
    texts = {
        "etc/ld.so.conf": f"/{LIBRARIES}\n/{BASE_LIBRARIES}\n",
        "etc/cri/conf.d/00-base.part": _CRI_PART,
        "etc/cri/conf.d/10-nvidia-container-runtime.part": EXTENSION_PART,
        "etc/nvidia-container-runtime/config.toml": _CONFIG,
    }
    facts = [identity([init, *(binaries / name for name in _PROGRAMS), *sorted(gpu.iterdir())]), TOOLKIT, texts]

    def lay(root: Path) -> None:
        bin_folder, links, libraries = root / "usr/local/bin", root / "usr/bin", root / LIBRARIES
        for folder in (bin_folder, links, libraries):
            folder.mkdir(parents=True)
        copied(init, root / "sbin/init")
        for name in _PROGRAMS:
            copied(binaries / name, bin_folder / name)
        for name in ("nvidia-ctk", "nvidia-cdi-hook"):
            (links / name).symlink_to(f"/usr/local/bin/{name}")
        for path in sorted(gpu.iterdir()):
            if path.name == "nvidia-smi":
                shutil.copy2(path, bin_folder / path.name)
            elif ".so" in path.name:
                shutil.copy2(path, libraries / path.name, follow_symlinks=False)
        for target, text in texts.items():
            (root / target).parent.mkdir(parents=True, exist_ok=True)
            (root / target).write_text(text)
        subprocess.run(["/sbin/ldconfig", "-r", str(root)], check=True)

    return layer(f"native-{driver}", facts, lay)
