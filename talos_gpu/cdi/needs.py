"""What a spec needs of its host, so that it can be told whether it is still fresh.

nvidia-ctk writes the driver version into library names (`libcuda.so.535.247.01`), into the firmware folder and into
enable-cuda-compat; from 1.19 it writes the device majors too, of which nvidia-uvm's is dynamic.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from talos_gpu.cdi.errors import FactsUnclear
from talos_gpu.cdi.model import Spec
from talos_gpu.cdi.patching import Patched
from talos_gpu.cdi.spec import parse

# NVIDIA driver releases are three digits, two or three digits and sometimes two more: 570.172.08, 535.247.01, 460.32
_DRIVER = r"[0-9]{3}\.[0-9]{2,3}(?:\.[0-9]{2})?"
_LIBRARY = re.compile(rf"\.so\.({_DRIVER})$")
_FIRMWARE = re.compile(rf"/firmware/nvidia/({_DRIVER})/")
_COMPAT = re.compile(rf"^--host-driver-version=({_DRIVER})$")
_BIND_TYPES = ("", "bind", "none")


@dataclass(frozen=True, slots=True)
class SpecFacts:
    """What the host must have for containers to start with the spec."""

    driver_version: str | None
    """The one driver version that the spec names; None where it names none or several."""
    driver_versions: tuple[str, ...]
    """Every driver version named, most often named first."""
    host_paths: tuple[str, ...]
    """Sources of bind mounts and device nodes on the host, each once."""
    executables: tuple[str, ...]
    """Hook binaries, each once."""
    majors: Mapping[str, tuple[int, int]]
    """(major, minor) of the device nodes, by host path, where the spec says them."""
    device_nodes: tuple[str, ...]
    """Device nodes on the host, each once."""


def facts(text: str) -> SpecFacts:
    """The facts of a spec. Raises SpecInvalid."""
    return facts_of(parse(text))


def facts_of(spec: Spec) -> SpecFacts:
    """The facts of a parsed spec."""
    named = versions_named(spec)
    ordered = tuple(sorted(named, key=lambda version: (-len(named[version]), version)))
    nodes = {node.on_host: node for node in spec.device_nodes()}
    mounts = dict.fromkeys(mount.host_path for mount in spec.mounts() if mount.type in _BIND_TYPES)
    return SpecFacts(
        driver_version=ordered[0] if len(ordered) == 1 else None,
        driver_versions=ordered,
        host_paths=tuple(dict.fromkeys((*mounts, *nodes))),
        executables=tuple(dict.fromkeys(hook.path for hook in spec.hooks())),
        majors={path: (node.major, node.minor) for path, node in nodes.items() if node.major},
        device_nodes=tuple(nodes),
    )


def versions_named(spec: Spec) -> dict[str, list[str]]:
    """Driver version -> what names it (mounted paths, hook arguments), in the order of the spec."""
    versions: dict[str, list[str]] = {}
    for mount in spec.mounts():
        found = _LIBRARY.search(mount.host_path) or _FIRMWARE.search(mount.host_path)
        if found is not None:
            versions.setdefault(found[1], []).append(mount.host_path)
    for hook in spec.hooks():
        for arg in hook.args:
            compat = _COMPAT.match(arg)
            if compat is not None:
                versions.setdefault(compat[1], []).append(arg)
    return versions


def facts_file(patched: Patched, facts: SpecFacts, *, node: str = "") -> str:
    """The lines that components/installer/install.sh checks on the host.

    Raises FactsUnclear where the spec names no driver version or several, or a path has a line break in it, or the path
    of a device node a blank: the shell could not tell them apart.
    """
    if facts.driver_version is None:
        named = ", ".join(facts.driver_versions) or "none"
        raise FactsUnclear(
            f"the spec must name one driver version, it names {named}",
            remedy="remove the spec from the node and generate it anew with the driver loaded",
        )
    mounts = tuple(path for path in facts.host_paths if path not in facts.device_nodes)
    for path in (*mounts, *facts.executables, *facts.device_nodes):
        if "\n" in path or "\r" in path or (path in facts.device_nodes and re.search(r"\s", path)):
            raise FactsUnclear(f"host path {path!r} has blanks or line breaks that the facts file cannot carry")
    lines = [f"source_sha256 {patched.source_sha256}", f"spec_sha256 {patched.sha256}"]
    lines.append(f"driver {facts.driver_version}")
    lines += [f"kind {patched.kind}", *(f"name {name}" for name in patched.devices)]
    lines += [f"path {path}" for path in mounts]
    lines += [f"exec {path}" for path in facts.executables]
    for path in facts.device_nodes:
        major, minor = facts.majors.get(path, ("", ""))
        lines.append(f"device {path} {major} {minor}".rstrip())
    if node:
        lines.append(f"node {node}")
    return "\n".join(lines) + "\n"
