"""Whether a spec still fits its host: every fact that moved, with its evidence. Pure; facts come in as data."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from enum import StrEnum

from talos_gpu.cdi.hooks import KNOWN_SINCE, TOLERANT_SINCE, hook_command, release
from talos_gpu.cdi.model import Spec
from talos_gpu.cdi.needs import facts_of, versions_named

_REGENERATE = "generate the spec anew on the node: nvidia-ctk cdi generate"
_MAJORS = "nvidia-container-toolkit 1.19: cdi generate writes device majors and minors"
# names of a device node's driver in /proc/devices, by driver release: `nvidia-frontend` up to 545
_DRIVERS = (
    (re.compile(r"/dev/nvidia-uvm(?:-tools)?"), ("nvidia-uvm",)),
    (re.compile(r"/dev/nvidia-modeset"), ("nvidia-modeset", "nvidia", "nvidia-frontend")),
    (re.compile(r"/dev/nvidia(?:ctl|\d+)"), ("nvidia", "nvidia-frontend")),
    (re.compile(r"/dev/nvidia-caps/.+"), ("nvidia-caps",)),
    (re.compile(r"/dev/dri/.+"), ("drm",)),
)
_GPU_UUID = re.compile(r"GPU-[0-9a-f-]{36}")
_INDEX = re.compile(r"\d+")
_MIG = re.compile(r"MIG-.+|(?:mig)?\d+:\d+")
_GPU_NODE = re.compile(r"/dev/nvidia\d+")


class Check(StrEnum):
    """What was compared with the host."""

    DRIVER = "driver-version"
    MAJOR = "device-major"
    MINOR = "device-minor"
    PATH = "host-path-missing"
    NODE = "device-node-missing"
    HOOK_MISSING = "hook-binary-missing"
    HOOK_OLDER = "hook-binary-older"
    GPU_GONE = "gpu-gone"
    GPU_NEW = "gpu-new"


@dataclass(frozen=True, slots=True)
class Finding:
    """A fact of the spec that is no longer the host's.

    `breaks` says that a container with the device would not start or not reach its GPU; where it is False the spec
    works for what it names and lacks something.
    """

    check: Check
    evidence: str
    cause: str
    remedy: str
    source: str
    breaks: bool = True


@dataclass(frozen=True, slots=True)
class HostFacts:
    """What is known of the host. None: not known, so that nothing is compared with it."""

    driver: str | None = None
    """`535.247.01`, of the loaded module (/proc/driver/nvidia/version)."""
    majors: Mapping[str, int] | None = None
    """Driver name -> major of the character devices in /proc/devices."""
    nodes: Mapping[str, tuple[int, int]] | None = None
    """Device nodes that the host has, with (major, minor), where the caller can look at them itself: the Talos API
    does not tell the numbers, so that `device-minor` is never found of a node."""
    missing: Set[str] | None = None
    """Of the paths that the spec names on the host (mounts, device nodes, hook binaries) those that are not there."""
    toolkit: str | None = None
    """`1.17.8`: release of the hook binary."""
    gpus: Set[str] | None = None
    """UUIDs (`GPU-...`) of the GPUs in the host."""


def freshness(spec: Spec, host: HostFacts) -> tuple[Finding, ...]:
    """Every fact of the spec that is not the host's, in the order of Check; empty if it is fresh as far as known."""
    return (
        *_driver(spec, host),
        *_majors(spec, host),
        *_minors(spec, host),
        *_missing(spec, host),
        *_older(spec, host),
        *_gpus(spec, host),
    )


def _driver(spec: Spec, host: HostFacts) -> Iterator[Finding]:
    if host.driver is None:
        return
    for version, places in versions_named(spec).items():
        if version != host.driver:
            more = f" and {len(places) - 1} more" if len(places) > 1 else ""
            yield Finding(
                Check.DRIVER,
                f"the spec names driver {version} in {places[0]}{more}; the host has {host.driver}",
                "the driver changed after the spec was made, and its libraries carry its version in their names",
                _REGENERATE,
                "nvidia-ctk writes the driver version into paths and --host-driver-version; containers then fail to "
                "mount them (H100, toolkit 1.17.8)",
            )


def _majors(spec: Spec, host: HostFacts) -> Iterator[Finding]:
    majors = host.majors
    if majors is None:
        return
    for path, (major, _) in facts_of(spec).majors.items():
        names = next((names for pattern, names in _DRIVERS if pattern.fullmatch(path)), ())
        name = next((name for name in names if name in majors), None)
        if name is not None and majors[name] != major:
            yield Finding(
                Check.MAJOR,
                f"the spec says major {major} of {path}; /proc/devices says {majors[name]} {name}",
                "the kernel gives this major anew when the module is loaded, at every boot",
                _REGENERATE,
                _MAJORS,
            )


def _minors(spec: Spec, host: HostFacts) -> Iterator[Finding]:
    for path, (major, minor) in facts_of(spec).majors.items():
        have = (host.nodes or {}).get(path)
        if have is None or have == (major, minor):
            continue
        if have[1] != minor or host.majors is None:
            yield Finding(
                Check.MINOR if have[1] != minor else Check.MAJOR,
                f"the spec says {major}:{minor} for {path}; the host has {have[0]}:{have[1]}",
                "the device node was made anew with other numbers",
                _REGENERATE,
                _MAJORS,
            )


def _missing(spec: Spec, host: HostFacts) -> Iterator[Finding]:
    if not host.missing:
        return
    needed = facts_of(spec)
    for path in needed.host_paths:
        if path in host.missing:
            node = path in needed.device_nodes
            yield Finding(
                Check.NODE if node else Check.PATH,
                f"the spec wants {path}; the host does not have it",
                "the device node has not been made: its module is not loaded, or the GPU is gone"
                if node
                else "what the spec was made from has been changed or removed",
                "load the module (machine.kernel.modules), then " + _REGENERATE if node else _REGENERATE,
                "pkg/cdi/container-edits_unix.go fillMissingInfo" if node else "runc: failed to fulfil mount request",
            )
    for path in needed.executables:
        if path in host.missing:
            users = sum(hook.path == path for hook in spec.hooks())
            yield Finding(
                Check.HOOK_MISSING,
                f"{users} hooks run {path}; the host does not have it",
                "another release names its hook binary otherwise: nvidia-cdi-hook.real is of Talos 1.8 to 1.12 alone",
                "choose the strategy of this Talos release: talos-gpu cdi patch --strategy",
                "siderolabs/extensions nvidia-container-toolkit pkg.yaml, releases 1.8 to 1.13",
            )


def _older(spec: Spec, host: HostFacts) -> Iterator[Finding]:
    have = release(host.toolkit or "")
    if have is None:
        return
    for name in dict.fromkeys(map(hook_command, spec.hooks())):
        since = KNOWN_SINCE.get(name)
        if since is not None and since > have:
            tolerant = have >= TOLERANT_SINCE
            yield Finding(
                Check.HOOK_OLDER,
                f"the spec has the hook {name}, which the toolkit knows from {'.'.join(map(str, since))}; "
                f"the host has {host.toolkit}",
                "the spec was made by a newer nvidia-ctk than the one on the host"
                + (", which skips a hook that it does not know" if tolerant else ", and the hook fails the container"),
                _REGENERATE,
                "nvidia-container-toolkit cmd/nvidia-cdi-hook/commands/commands.go",
                breaks=not tolerant,
            )


def _gpus(spec: Spec, host: HostFacts) -> Iterator[Finding]:
    if host.gpus is None:
        return
    named = {device.name for device in spec.devices if _GPU_UUID.fullmatch(device.name)}
    source = "nvidia-ctk cdi generate names devices at the time it runs"
    for name in sorted(named - host.gpus):
        yield Finding(
            Check.GPU_GONE,
            f"the spec gives {name}; the host has {', '.join(sorted(host.gpus)) or 'no GPU'}",
            "the GPU was taken out, or has fallen off the bus",
            _REGENERATE,
            source,
        )
    if named:
        if any(_MIG.fullmatch(device.name) for device in spec.devices):
            return  # a GPU in MIG mode is given by its slices, under no name of its own
        for name in sorted(host.gpus - named):
            yield Finding(
                Check.GPU_NEW,
                f"the host has {name}; the spec gives {', '.join(sorted(named))}",
                "the GPU came after the spec was made",
                _REGENERATE,
                source,
                breaks=False,
            )
        return
    # a spec by index alone tells how many GPUs there were
    count = len({node.on_host for node in spec.device_nodes() if _GPU_NODE.fullmatch(node.on_host)})
    indexed = any(_INDEX.fullmatch(device.name) for device in spec.devices)
    if indexed and count != len(host.gpus):
        gone = count > len(host.gpus)
        yield Finding(
            Check.GPU_GONE if gone else Check.GPU_NEW,
            f"the spec has device nodes of {count} GPUs; the host has {len(host.gpus)}",
            "a GPU was taken out" if gone else "a GPU came after the spec was made",
            _REGENERATE,
            source,
            breaks=gone,
        )
