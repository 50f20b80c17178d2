"""Whether the CDI spec that containers start with is installed, patched and fresh, by the Talos API's answers."""

from __future__ import annotations

import asyncio
import posixpath
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from talos_gpu.cdi import SpecFacts, SpecInvalid, Strategy, facts_of, parse
from talos_gpu.talos.client import MachineClient
from talos_gpu.talos.errors import ApiError, NotFound
from talos_gpu.talos.facts import NodeFacts, spec_source
from talos_gpu.verify.report import Outcome, Proof

NAME = "spec"
INSTALLED = "/var/run/cdi/nvidia.yaml"
NATIVE = "/run/cdi/nvidia.yaml"
BINARIES = "/usr/local/bin"
_SHOWN = 3
_MAJOR_OF = {"/dev/nvidia-uvm": "nvidia-uvm", "/dev/nvidia-uvm-tools": "nvidia-uvm"}


@dataclass(frozen=True, slots=True)
class HostSpec:
    """What the node says of the spec and of what it names."""

    path: str
    text: str | None
    """None: it is not there."""
    facts: NodeFacts
    folders: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Names in those folders of the node that the spec names files in; a folder that is not there is empty."""


async def read_host_spec(client: MachineClient, path: str, facts: asyncio.Future[NodeFacts]) -> HostSpec:
    """Read the spec, then the folders that it names. Raises ApiError where the spec cannot be read."""
    text = await spec_source(client, path)
    named: set[str] = set()
    if text is not None:
        try:
            needed = facts_of(parse(text))
        except SpecInvalid:
            needed = None
        if needed is not None:
            paths = {*needed.host_paths, *needed.executables} - {*needed.device_nodes}
            named = {posixpath.dirname(name) for name in paths}
    listed = await asyncio.gather(*(_listed(client, folder) for folder in sorted(named)))
    folders = {folder: names for folder, names in zip(sorted(named), listed, strict=True) if names is not None}
    return HostSpec(path, text, await facts, folders)


async def _listed(client: MachineClient, folder: str) -> frozenset[str] | None:
    try:
        return frozenset(entry.name for entry in await client.list(folder))
    except NotFound:
        return frozenset()
    except ApiError:
        return None  # not to be looked at with this role: nothing is said about its files


def judge(host: HostSpec, strategy: Strategy, seconds: float) -> Proof:
    """The spec against the node's facts; every fault is in the sentence."""
    if host.text is None:
        sentence = f"{host.path} is not there: containers fail with `unresolvable CDI devices`."
        remedy = "kubectl -n kube-system logs -l app=nvidia-cdi-init tells why the installer has not put it there"
        return Proof(NAME, Outcome.DISPROVEN, sentence, "spec-missing", remedy, seconds=seconds)
    try:
        spec = parse(host.text)
    except SpecInvalid as error:
        rules = tuple(str(fault) for fault in error.faults)
        sentence = f"{host.path} would not be loaded by containerd: {rules[0]}"
        return Proof(NAME, Outcome.DISPROVEN, sentence, "spec-invalid", error.remedy, rules, seconds=seconds)
    needed = facts_of(spec)
    faults = [*_unpatched(needed, strategy), *_stale(needed, host)]
    evidence = (
        f"{host.path}: {spec.kind} {', '.join(device.name for device in spec.devices)}",
        f"hooks: {', '.join(needed.executables) or 'none'}",
        f"driver in the spec: {needed.driver_version}, loaded: {host.facts.driver or 'not known'}",
    )
    if faults:
        cause = faults[0][0]
        sentence = "; ".join(text for _, text in faults) + "."
        remedy = "pulumi up --refresh generates, patches and installs it anew"
        return Proof(NAME, Outcome.DISPROVEN, sentence, cause, remedy, evidence, seconds=seconds)
    unread = [name for name in ("driver", "char_majors") if name in host.facts.unread and _matters(name, needed)]
    if unread:
        reasons = "; ".join(f"{name}: {host.facts.unread[name]}" for name in unread)
        sentence = f"The spec is installed; whether it is fresh cannot be told ({reasons})."
        return Proof(NAME, Outcome.UNKNOWN, sentence, "facts-unread", _ADMIN, evidence, seconds=seconds)
    sentence = f"{host.path} is installed, fit for this release's hook binaries, and of the driver that is loaded."
    return Proof(NAME, Outcome.PROVEN, sentence, evidence=evidence, seconds=seconds)


_ADMIN = "use a talosconfig with role os:admin"


def could_not_read(error: Exception, seconds: float) -> Proof:
    """The proof where the Talos API did not give the spec."""
    message, remedy = getattr(error, "message", str(error)), getattr(error, "remedy", "")
    sentence = f"The spec could not be read: {message}"
    return Proof(NAME, Outcome.UNKNOWN, sentence, "spec-unread", remedy, seconds=seconds)


def skipped(method: str) -> Proof:
    """The proof of a method that has no spec file."""
    return Proof(NAME, Outcome.SKIPPED, f"Method {method} needs no spec file.")


def _matters(name: str, needed: SpecFacts) -> bool:
    return name == "driver" or bool(needed.majors)


def _unpatched(needed: SpecFacts, strategy: Strategy) -> Iterator[tuple[str, str]]:
    for path in needed.executables:
        if path in strategy.replaces:
            yield "spec-unpatched", f"its hooks run {path}, which is the wrapper that refuses them"


def _stale(needed: SpecFacts, host: HostSpec) -> Iterator[tuple[str, str]]:
    driver, majors = host.facts.driver, host.facts.char_majors or {}
    if driver is not None and needed.driver_version not in (None, driver):
        yield "spec-stale", f"it was made for driver {needed.driver_version}, the node has {driver} loaded"
    for path, (major, _) in needed.majors.items():
        have = majors.get(_MAJOR_OF.get(path, ""))
        if have is not None and have != major:
            yield "spec-stale-major", f"it says major {major} of {path}, the kernel's is {have}"
    if gone := _gone([*needed.executables], host.folders):
        yield "hook-missing", f"its hook binary is not on the node: {', '.join(gone)}"
    paths = [path for path in needed.host_paths if path not in needed.device_nodes]
    if gone := _gone(paths, host.folders):
        more = f" and {len(gone) - _SHOWN} more" if len(gone) > _SHOWN else ""
        yield "spec-paths", f"it names files that are not on the node: {', '.join(gone[:_SHOWN])}{more}"


def _gone(paths: Sequence[str], folders: Mapping[str, frozenset[str]]) -> list[str]:
    found = []
    for path in paths:
        folder, name = posixpath.split(path)
        if folder in folders and name not in folders[folder]:
            found.append(path)
    return found
