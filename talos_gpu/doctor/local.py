"""Evidence of this very machine: containerd and the NVIDIA toolkit, without Talos or Kubernetes; reads only."""

from __future__ import annotations

import json
import re
import stat
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from talos_gpu.cdi import SpecInvalid, facts_of, parse
from talos_gpu.doctor.bundle import Bundle, host, listing
from talos_gpu.doctor.finding import Check
from talos_gpu.doctor.view import MERGED

FILES = (
    "/proc/modules",
    "/proc/devices",
    "/proc/driver/nvidia/version",
    "/proc/sys/net/core/bpf_jit_harden",
    "/proc/sys/kernel/kptr_restrict",
)
TOOLKIT_CONFIG = "/etc/nvidia-container-runtime/config.toml"
CONTAINERD = "/etc/containerd/config.toml"
_SPEC_FOLDERS = ("/etc/cdi", "/var/run/cdi")
_BINARIES = "/usr/bin"
_VERSION = re.compile(r"version (\d+\.\d+\.\d+)")
_SECONDS = 10
_TALOS_WITH = {1: "v1.7.0\n", 2: "v1.12.0\n"}
"""A Talos release by the major of its containerd: its sections, folders and defaults are what the checks ask for."""
_REGENERATE = "sudo nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml, then restart the containers"
REMEDIES: Mapping[str, str] = {
    "module-not-loaded": "sudo modprobe nvidia nvidia_uvm; dmesg | grep -iE 'nvidia|nvrm' tells why not",
    "gpu-lost": "restart the machine, cold where it stays so; check power and seat of the card",
    "device-node-missing": "sudo nvidia-modprobe -u -c 0",
    "device-permissions": "sudo chmod 0666 the node; NVreg_DeviceFileMode in the module's options keeps it",
    "toolkit-cve": "upgrade the container toolkit to 1.17.8 or newer",
    "spec-missing": _REGENERATE,
    "spec-invalid": f"{_REGENERATE}; `talos-gpu cdi validate FILE` names every fault",
    "spec-conflict": "remove one of the two files",
    "spec-folder-unread": "add the folder to cdi_spec_dirs in /etc/containerd/config.toml, or move the spec",
    "spec-name-ignored": "rename it to end in .yaml or .json, or remove it",
    "spec-unpatched": "talos-gpu cdi patch --in-place FILE, or generate with hooks run by /usr/local/bin/nvidia-ctk",
    "hook-missing": _REGENERATE,
    "spec-newer-than-hook": _REGENERATE,
    "spec-stale": _REGENERATE,
    "uvm-major-moved": f"{_REGENERATE}; at each boot, for example by nvidia-cdi-refresh.service",
    "spec-paths-missing": _REGENERATE,
    "cdi-disabled": "enable_cdi = true in /etc/containerd/config.toml, then restart containerd",
    "runtime-binary-missing": "correct BinaryName in /etc/containerd/config.toml (nvidia-ctk runtime configure)",
}
"""Checks that mean something without Talos and Kubernetes, with what to do there."""


def gather_local(root: Path = Path("/")) -> Bundle:
    """The evidence; `root` is where the machine's file system is seen."""
    texts: dict[str, str] = {}
    unread: dict[str, str] = {}

    def file(path: str, key: str | None = None) -> None:
        try:
            texts[key or host(path)] = _under(root, path).read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            unread[key or host(path)] = ""
        except OSError as error:
            unread[key or host(path)] = error.strerror or type(error).__name__

    def folder(path: str) -> None:
        try:
            entries = sorted(_under(root, path).iterdir())
        except FileNotFoundError:
            unread[listing(path)] = ""
            return
        except OSError as error:
            unread[listing(path)] = error.strerror or type(error).__name__
            return
        texts[listing(path)] = "".join(f"{stat.S_IMODE(entry.lstat().st_mode):04o} {entry.name}\n" for entry in entries)

    for path in FILES:
        file(path)
    file(TOOLKIT_CONFIG, host("/usr/local/etc/nvidia-container-runtime/config.toml"))
    file(CONTAINERD, host(MERGED))
    if unread.get(host(MERGED)) == "":
        texts[host(MERGED)] = ""  # without a file containerd's defaults are in force
    for path in ("/dev", _BINARIES, *_SPEC_FOLDERS):
        folder(path)
    for specs in _SPEC_FOLDERS:
        for line in texts.get(listing(specs), "").splitlines():
            name = line.split(" ", 1)[1]
            if name.endswith((".yaml", ".json")):
                file(f"{specs}/{name}")
                for named in sorted(_folders_of(texts.get(host(f"{specs}/{name}"), ""))):
                    if listing(named) not in texts:
                        folder(named)
    toolkit, said = None, None
    if root == Path("/"):
        toolkit, log, said = _toolkit(), _said("dmesg"), _said("containerd", "--version")
        if log is not None:
            texts["talos/dmesg.txt"] = log
        else:
            unread["talos/dmesg.txt"] = "dmesg: Operation not permitted; it may want root"
    texts["talos/extensions.json"] = json.dumps({"nvidia-container-toolkit": f"local-v{toolkit}"} if toolkit else {})
    texts["talos/version.txt"] = _TALOS_WITH[_containerd(said, texts.get(host(MERGED), ""))]
    return Bundle(texts, unread)


def _containerd(said: str | None, config: str) -> int:
    """containerd's major: what it says, else what its configuration's format says (2 is 1.x's, 3 is 2.x's)."""
    if found := re.search(r"\bv?([12])\.\d+\.\d+", said or ""):
        return int(found[1])
    return 1 if re.search(r"^\s*version\s*=\s*2\b", config, re.MULTILINE) else 2


def _under(root: Path, path: str) -> Path:
    return root / path.lstrip("/")


def _folders_of(text: str) -> set[str]:
    try:
        needed = facts_of(parse(text))
    except SpecInvalid:
        return set()
    paths = [path for path in (*needed.host_paths, *needed.executables) if path not in needed.device_nodes]
    return {path.rpartition("/")[0] for path in paths}


def _toolkit() -> str | None:
    found = _VERSION.search(_said("nvidia-ctk", "--version") or "")
    return found[1] if found else None


def _said(*command: str) -> str | None:
    """What a command says, None where it is not there, is refused or takes too long."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout


def local_checks(checks: Sequence[Check]) -> tuple[Check, ...]:
    """Of all checks those that apply."""
    return tuple(replace(check, remedy=REMEDIES[check.name]) for check in checks if check.name in REMEDIES)
