"""The evidence as checks want it: parsed once, Unread raised where it is not there."""

from __future__ import annotations

import posixpath
import re
import tomllib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from talos_gpu.doctor.bundle import META, Bundle, host, listing
from talos_gpu.doctor.errors import Unread
from talos_gpu.doctor.meta import Meta
from talos_gpu.doctor.spec_file import SpecFile, canonical, loaded
from talos_gpu.errors import TalosGpuError
from talos_gpu.talos.parse import char_majors, driver_version, module_driver_version, toolkit_version
from talos_gpu.talos.part import CDI_SPEC_DIRS
from talos_gpu.talos.releases import CRI_SECTION_1, CRI_SECTION_2, ReleaseFacts, strategy_for

BINARIES = "/usr/local/bin"
SPEC_FOLDERS = ("/etc/cdi", "/var/run/cdi", "/run/cdi", "/var/cdi")
"""Folders in which a CDI spec may lie; /var/run is /run on a node."""
SOURCE_FOLDER = "/var/cdi"
PARTS = "/etc/cri/conf.d"
MERGED = f"{PARTS}/cri.toml"
PART = f"{PARTS}/20-customization.part"
TOOLKIT_CONFIG = "/usr/local/etc/nvidia-container-runtime/config.toml"
GPU_KIND = "nvidia.com/gpu"
_KMOD = ("nonfree-kmod-nvidia", "nvidia-open-gpu-kernel-modules")
_TOOLKIT = "nvidia-container-toolkit"
_MODE = re.compile(r"^(?P<octal>[0-7]{3,5})\s+(?P<name>\S+)$")
_LS = re.compile(r"^(?P<type>[-a-z])(?P<rwx>[-rwxsStT]{9})\S*\s.*\s(?P<name>\S+)(?:\s->\s\S+)?$")


def numbers(version: str) -> tuple[int, ...]:
    """A version to compare: `v1.17.8` -> (1, 17, 8)."""
    return tuple(int(number) for number in re.findall(r"\d+", version)[:3])


class View:
    """One bundle, parsed."""

    def __init__(self, bundle: Bundle, now: datetime | None = None) -> None:
        self.bundle = bundle
        self._now = now
        self._parsed: dict[str, Any] = {}

    def json(self, key: str) -> Any:  # noqa: ANN401 (JSON)
        """The value of a JSON text, parsed once; raises Unread."""
        if key not in self._parsed:
            self._parsed[key] = self.bundle.json(key)
        return self._parsed[key]

    @cached_property
    def meta(self) -> Meta:
        """What the stack says."""
        return Meta.read(self.bundle.json(META))

    @cached_property
    def node(self) -> str | None:
        """The node's name; None where no stack names it."""
        return self.meta.node if META in self.bundle.texts else None

    @cached_property
    def now(self) -> datetime:
        """When the evidence was gathered."""
        if self._now is not None:
            return self._now
        made = self.meta.made if META in self.bundle.texts else None
        return datetime.fromisoformat(made) if made else datetime.now(UTC)

    @cached_property
    def talos(self) -> str:
        """`v1.11.1`: what the node says, else what the stack says, else what the cluster says of the node's image."""
        if "talos/version.txt" in self.bundle.texts:
            return self.bundle.text("talos/version.txt").strip()
        said = self.meta.release if META in self.bundle.texts else None
        if said is None and "cluster/node.json" in self.bundle.texts:
            image = str((self.json("cluster/node.json").get("status") or {}).get("nodeInfo", {}).get("osImage"))
            said = image[7:-1] if image.startswith("Talos (v") else None
        return said or self.meta.required("release")

    @cached_property
    def release(self) -> ReleaseFacts:
        """The release's facts. Raises UnknownRelease."""
        return strategy_for(self.talos)

    @cached_property
    def extensions(self) -> Mapping[str, str]:
        """Version by name."""
        return {str(name): str(version) for name, version in self.json("talos/extensions.json").items()}

    @cached_property
    def toolkit(self) -> str | None:
        """The container toolkit's version."""
        return toolkit_version(self.extensions)

    @cached_property
    def toolkit_extension(self) -> tuple[str, str] | None:
        """Name and version of the toolkit's extension."""
        return self._extension((_TOOLKIT,))

    @cached_property
    def module_extension(self) -> tuple[str, str] | None:
        """Name and version of the kernel modules' extension."""
        return self._extension(_KMOD)

    def _extension(self, prefixes: tuple[str, ...]) -> tuple[str, str] | None:
        return next(((name, version) for name, version in self.extensions.items() if name.startswith(prefixes)), None)

    @cached_property
    def module_extension_driver(self) -> str | None:
        """The driver that the module extension brings."""
        return module_driver_version(self.extensions)

    @cached_property
    def modules(self) -> frozenset[str]:
        """Loaded kernel modules."""
        if "talos/modules.txt" in self.bundle.texts:
            return frozenset(self.bundle.text("talos/modules.txt").split())
        lines = self.bundle.text(host("/proc/modules")).splitlines()
        return frozenset(line.split()[0] for line in lines if line.strip())

    @cached_property
    def driver(self) -> str | None:
        """The loaded driver's version, None where no driver is loaded."""
        text = self.bundle.optional(host("/proc/driver/nvidia/version"))
        return None if text is None else driver_version(text)

    @cached_property
    def majors(self) -> Mapping[str, int]:
        """Major numbers by driver name."""
        return char_majors(self.bundle.text(host("/proc/devices")))

    def sysctl(self, name: str) -> int:
        """A sysctl of the running kernel."""
        return int(self.bundle.text(host(f"/proc/sys/{name.replace('.', '/')}")).strip())

    @cached_property
    def dmesg(self) -> Sequence[str]:
        """The kernel's log, a message a line."""
        return self.bundle.text("talos/dmesg.txt").splitlines()

    @cached_property
    def services(self) -> Mapping[str, Mapping[str, Any]]:
        """Talos's services by id: state, healthy, message."""
        return {service["id"]: service for service in self.json("talos/services.json")}

    def entries(self, folder: str) -> Mapping[str, int | None] | None:
        """Permissions by name of a folder's entries; None where the folder is not there."""
        text = self.bundle.optional(listing(folder))
        if text is None:
            return None
        found: dict[str, int | None] = {}
        for line in text.splitlines():
            if match := _MODE.match(line):
                found[match["name"]] = int(match["octal"], 8)
            elif match := _LS.match(line):
                found[match["name"]] = _permissions(match["rwx"])
            elif line.strip() and not line.startswith("total "):
                found[line.strip()] = None
        return found

    def exists(self, path: str) -> bool | None:
        """Whether a path is on the node; None where its folder was not looked at."""
        folder, name = posixpath.split(path)
        try:
            found = self.entries(folder)
        except Unread:
            return None
        return found is not None and name in found

    # specs and containerd

    @cached_property
    def specs(self) -> Sequence[SpecFile]:
        """Every file with a spec's name in the folders where specs may lie; raises Unread where none was looked at."""
        looked = [folder for folder in dict.fromkeys((*SPEC_FOLDERS, *self.spec_dirs)) if self._looked(folder)]
        if not looked:
            key = listing("/var/run/cdi")
            raise Unread(key, self.bundle.unread.get(key) or "no folder of CDI specs was looked at")
        found: dict[str, SpecFile] = {}
        for folder in looked:
            for name, text in self.bundle.folder(host(f"{folder}/")).items():
                if "/" in name or not name.endswith((".yaml", ".json")):
                    continue
                path = f"{canonical(folder)}/{name}"
                found[path] = SpecFile(path, text, *loaded(text))
            self._all_read(folder)
        return list(found.values())

    def _all_read(self, folder: str) -> None:
        """Raises Unread where a spec is listed and could not be read: nothing can be said of what is in force then."""
        for line in self.bundle.texts.get(listing(folder), "").splitlines():
            key = host(f"{folder}/{line.split()[-1]}")
            reason = self.bundle.unread.get(key, "")
            if key.endswith((".yaml", ".json")) and key not in self.bundle.texts and reason:
                raise Unread(key, reason)

    def _looked(self, folder: str) -> bool:
        keys = (listing(folder), host(folder))
        return any(key in self.bundle.texts or self.bundle.unread.get(key) == "" for key in keys) or bool(
            self.bundle.folder(host(f"{folder}/"))
        )

    @cached_property
    def spec_dirs(self) -> Sequence[str]:
        """Where containerd looks, the last one wins."""
        try:
            configured = self.cri.get("cdi_spec_dirs")
        except TalosGpuError:
            configured = None
        if isinstance(configured, list) and configured:
            return [canonical(str(folder)) for folder in configured]
        try:
            default = self.release.cdi_spec_dirs_default
        except TalosGpuError:
            default = CDI_SPEC_DIRS
        return [canonical(folder) for folder in default]

    @cached_property
    def watched(self) -> Sequence[SpecFile]:
        """Specs in the folders that containerd or the NVIDIA runtime reads, the winner last."""
        dirs = list(self.spec_dirs)
        return sorted((spec for spec in self.specs if spec.folder in dirs), key=lambda spec: dirs.index(spec.folder))

    @cached_property
    def effective(self) -> SpecFile | None:
        """The spec that `nvidia.com/gpu=all` comes from; None where nothing provides it."""
        providers = [spec for spec in self.watched if any(name.startswith(f"{GPU_KIND}=") for name in spec.names)]
        return providers[-1] if providers else None

    @cached_property
    def source(self) -> SpecFile | None:
        """The generated spec."""
        return next((spec for spec in self.specs if spec.folder == SOURCE_FOLDER), None)

    @cached_property
    def parts(self) -> Mapping[str, str]:
        """Texts of the parts that containerd's configuration is merged from, by path."""
        found = self.bundle.folder(host(f"{PARTS}/"))
        if not found and self.bundle.unread.get(host(PART)) != "":
            raise Unread(host(PART), self.bundle.unread.get(host(PART)) or "it is not in the bundle")
        return {f"{PARTS}/{name}": text for name, text in found.items() if name.endswith(".part")}

    @cached_property
    def cri(self) -> Mapping[str, Any]:
        """containerd's CRI runtime section, merged; raises Unread where no configuration could be read.

        The section that the node's containerd reads, where the release is known; both where it is not.
        """
        try:
            names: tuple[str, ...] = (self.release.cri_section,)
        except TalosGpuError:
            names = (CRI_SECTION_1, CRI_SECTION_2)
        sections: dict[str, Any] = {}
        texts = [self.bundle.texts[host(MERGED)]] if host(MERGED) in self.bundle.texts else [*self.parts.values()]
        for text in texts:
            try:
                plugins = tomllib.loads(text).get("plugins", {})
            except tomllib.TOMLDecodeError:
                continue  # a check of its own
            for name in names:
                _merge(sections, plugins.get(name, {}))
        return sections

    @cached_property
    def runtimes(self) -> Mapping[str, str]:
        """BinaryName by the runtime's name."""
        listed = self.cri.get("containerd", {}).get("runtimes", {})
        return {name: str(runtime.get("options", {}).get("BinaryName", "")) for name, runtime in listed.items()}

    @cached_property
    def legacy_by_default(self) -> bool:
        """Whether the runtime `nvidia` injects in legacy mode: no mode set and a toolkit before 1.18."""
        config = self.bundle.texts.get(host(TOOLKIT_CONFIG), "")
        mode = re.search(r'^\s*mode\s*=\s*"(\w[\w-]*)"', config, re.MULTILINE)
        if mode is not None and mode[1] != "auto":
            return mode[1] == "legacy"
        return self.toolkit is not None and numbers(self.toolkit) < (1, 18)


def _merge(into: dict[str, Any], more: Mapping[str, Any]) -> None:
    """As Talos merges parts: tables key by key, arrays concatenated."""
    for key, value in more.items():
        have = into.get(key)
        if isinstance(have, dict) and isinstance(value, dict):
            _merge(have, value)
        elif isinstance(have, list) and isinstance(value, list):
            into[key] = [*have, *value]
        else:
            into[key] = dict(value) if isinstance(value, dict) else value


def _permissions(rwx: str) -> int:
    return sum(1 << (8 - place) for place, letter in enumerate(rwx) if letter not in "-ST")
