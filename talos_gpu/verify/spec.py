"""Whether the CDI spec that containers start with is installed, patched and fresh, by the Talos API's answers."""

from __future__ import annotations

import asyncio
import posixpath
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from talos_gpu.cdi import (
    Check,
    Folder,
    HostFacts,
    Library,
    Spec,
    SpecFacts,
    SpecInvalid,
    State,
    Strategy,
    decode,
    facts_of,
    freshness,
    parse,
    resolution,
)
from talos_gpu.cdi.strategy import CDI_HOOK, HOOK_REAL
from talos_gpu.talos.client import MachineClient
from talos_gpu.talos.errors import NotFound
from talos_gpu.talos.facts import NodeFacts
from talos_gpu.talos.host import names_in, spec_folder
from talos_gpu.verify.report import Outcome, Proof

NAME = "spec"
INSTALLED = "/var/run/cdi/nvidia.yaml"
NATIVE = "/run/cdi/nvidia.yaml"
BINARIES = "/usr/local/bin"
KIND = "nvidia.com/gpu"
_SHOWN = 3
_CAUSES = {
    Check.DRIVER: "spec-stale",
    Check.MAJOR: "spec-stale-major",
    Check.MINOR: "spec-stale-major",
    Check.PATH: "spec-paths",
    Check.NODE: "spec-nodes",
    Check.HOOK_MISSING: "hook-missing",
    Check.HOOK_OLDER: "hook-older",
}


@dataclass(frozen=True, slots=True)
class HostSpec:
    """What the node says of the spec and of what it names."""

    path: str
    data: bytes | None
    """None: it is not there."""
    facts: NodeFacts
    folders: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Names in BINARIES and in those folders of the node that the spec names files in; empty: not there."""
    cdi: Sequence[Folder] = ()
    """The folders that containerd looks for specs in, in its order."""

    @property
    def library(self) -> Library:
        """The CDI library of the node's containerd."""
        return Library.of_containerd(self.facts.containerd or "")

    @property
    def binaries(self) -> frozenset[str]:
        """Names in BINARIES; empty where they are not known."""
        return self.folders.get(BINARIES, frozenset())


async def read_host_spec(
    client: MachineClient, path: str, cdi_folders: Sequence[str], facts: asyncio.Future[NodeFacts]
) -> HostSpec:
    """Read the spec and the folders beside it, then those that it names. Raises ApiError where it cannot be read."""
    beside = asyncio.gather(*(spec_folder(client, folder) for folder in cdi_folders))
    data, cdi = await asyncio.gather(_data(client, path), beside)
    host = HostSpec(path, data, await facts, cdi=cdi)
    named = {BINARIES}
    if data is not None:
        try:
            needed = facts_of(parse(decode(data).text, library=host.library))
            named |= {posixpath.dirname(name) for name in (*needed.host_paths, *needed.executables)}
        except SpecInvalid:
            pass  # judge says why
    listed = await asyncio.gather(*(names_in(client, folder) for folder in sorted(named)))
    folders = {folder: names for folder, names in zip(sorted(named), listed, strict=True) if names is not None}
    return replace(host, folders=folders)


async def _data(client: MachineClient, path: str) -> bytes | None:
    try:
        return await client.read(path)
    except NotFound:
        return None


def judge(host: HostSpec, strategy: Strategy, seconds: float) -> Proof:
    """The spec against the node's facts; every fault is in the sentence."""
    if host.data is None:
        sentence = f"{host.path} is not there: containers fail with `unresolvable CDI devices`."
        remedy = "kubectl -n kube-system logs -l app=nvidia-cdi-init tells why the installer has not put it there"
        return Proof(NAME, Outcome.DISPROVEN, sentence, "spec-missing", remedy, seconds=seconds)
    try:
        spec = parse(decode(host.data).text, library=host.library)
    except SpecInvalid as error:
        rules = tuple(str(fault) for fault in error.faults)
        sentence = f"{host.path} would not be loaded by containerd: {rules[0]}"
        return Proof(NAME, Outcome.DISPROVEN, sentence, "spec-invalid", error.remedy, rules, seconds=seconds)
    needed = facts_of(spec)
    versions = ", ".join(needed.driver_versions) or "none"
    faults = [
        *_other_kind(spec),
        *_unpatched(needed, strategy, host.binaries),
        *_stale(spec, needed, host),
        *_hidden(spec, host),
    ]
    evidence = (
        f"{host.path}: {spec.kind} {', '.join(device.name for device in spec.devices)}",
        f"hooks: {', '.join(needed.executables) or 'none'}",
        f"driver in the spec: {versions}, loaded: {host.facts.driver or 'not known'}",
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


def _other_kind(spec: Spec) -> Iterator[tuple[str, str]]:
    if spec.kind != KIND:
        yield "spec-kind", f"it gives devices of kind {spec.kind}, not {KIND}"


def _unpatched(needed: SpecFacts, strategy: Strategy, binaries: frozenset[str]) -> Iterator[tuple[str, str]]:
    """What lies in /usr/local/bin says whether nvidia-cdi-hook is the wrapper; the strategy where it is not known."""
    for path in needed.executables:
        stranger = bool(strategy.known) and path not in strategy.known
        if path == CDI_HOOK:
            if HOOK_REAL in binaries or (not binaries and (stranger or path in strategy.replaces)):
                yield "spec-unpatched", f"its hooks run {path}, which is the wrapper that refuses them"
        elif stranger:
            yield "hook-unknown", f"its hooks run {path}, which is none of {', '.join(strategy.known)}"


def _stale(spec: Spec, needed: SpecFacts, host: HostSpec) -> Iterator[tuple[str, str]]:
    facts = host.facts
    if facts.driver is not None and not needed.driver_versions:
        yield "spec-stale", f"it names no driver, the node has {facts.driver} loaded"
    missing = frozenset(_gone((*needed.host_paths, *needed.executables), host.folders))
    known = HostFacts(driver=facts.driver, majors=facts.char_majors, missing=missing, toolkit=facts.toolkit)
    found: dict[Check, list[str]] = {}
    for finding in freshness(spec, known):
        if finding.breaks:
            found.setdefault(finding.check, []).append(finding.evidence)
    for check, evidence in found.items():
        more = f"; and {len(evidence) - _SHOWN} more" if len(evidence) > _SHOWN else ""
        yield _CAUSES[check], "; ".join(evidence[:_SHOWN]) + more


def _hidden(spec: Spec, host: HostSpec) -> Iterator[tuple[str, str]]:
    """Devices of the spec that containers do not get from it, because of the files around it."""
    found = resolution(host.cdi, library=host.library)
    if not any(file.path == host.path and file.state is State.LOADED for file in found.files):
        return  # it was not seen there: another moment, or a folder that may not be listed
    names = {f"{spec.kind}={device.name}" for device in spec.devices}
    others: dict[tuple[str, ...], list[str]] = {}
    for conflict in found.conflicts:
        if conflict.device in names:
            others.setdefault(conflict.paths, []).append(conflict.device)
    for paths, devices in others.items():
        yield (
            "spec-conflict",
            f"{', '.join(devices)} cannot be resolved: several files of one folder give it ({', '.join(paths)})",
        )
    shadows: dict[str, list[str]] = {}
    for given in found.devices:
        if given.device in names and given.path != host.path:
            shadows.setdefault(given.path, []).append(given.device)
    for path, devices in shadows.items():
        yield "spec-shadowed", f"{', '.join(devices)} comes from {path}, whose folder wins"


def _gone(paths: Sequence[str], folders: Mapping[str, frozenset[str]]) -> list[str]:
    found = []
    for path in paths:
        folder, name = posixpath.split(path)
        if folder in folders and name not in folders[folder]:
            found.append(path)
    return found
