"""A node's facts, read concurrently: from resources (role reader) where they tell, from files (admin) elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, TypeVar

from talos_gpu.talos import parse
from talos_gpu.talos.errors import ApiError, CertificateRejected, NotFound, Unreachable
from talos_gpu.talos.part import PART_PATH
from talos_gpu.talos.udev import RULES_FILES

if TYPE_CHECKING:
    from talos_gpu.talos.client import MachineClient

SPEC_SOURCE = "/var/cdi/nvidia.yaml"
"""Where the generator writes."""

UDEV_RULES = RULES_FILES[0]

EXTENSIONS = "ExtensionStatuses.runtime.talos.dev"
KERNEL_PARAMS = "KernelParamStatuses.runtime.talos.dev"
LOADED_MODULES = "LoadedKernelModules.runtime.talos.dev"
"""Since Talos 1.11 (siderolabs/talos#11280)."""
SBOM_ITEMS = "SBOMItems.talos.dev"

_ValueT = TypeVar("_ValueT")


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """What a node is like now. None means that it could not be read; `unread` says why, by the field's name."""

    talos: str | None = None
    """`v1.11.1`."""
    boot_id: str | None = None
    kernel: str | None = None
    """`6.12.45-talos`."""
    containerd: str | None = None
    """`2.1.4`; releases before 1.11 do not tell (the cluster does: Node.status.nodeInfo)."""
    driver: str | None = None
    """`535.247.01`, the loaded module's."""
    toolkit: str | None = None
    """`1.17.8`, by its extension's version."""
    bpf_jit_harden: int | None = None
    kptr_restrict: int | None = None
    modules: frozenset[str] | None = None
    """Loaded kernel modules."""
    extensions: Mapping[str, str] | None = None
    """Version by name, as the schematic has them."""
    char_majors: Mapping[str, int] | None = None
    """Major number by driver name, from /proc/devices: `nvidia-uvm` is dynamic."""
    part: str | None = None
    """Text of the containerd part; "" if the file is not there."""
    udev_rules: str | None = None
    """Text of the file that Talos writes the machine config's udev rules into at boot."""
    unread: Mapping[str, str] = field(default_factory=dict)


async def read_facts(client: MachineClient) -> NodeFacts:
    """Read everything at once, over one connection.

    What this role or this release does not tell is None, with the reason in `unread`. Raises Unreachable and
    CertificateRejected: those say nothing about a fact.
    """
    reading = _Reading()
    try:
        async with asyncio.TaskGroup() as group:
            talos = group.create_task(reading.fact("talos", _talos(client)))
            boot_id = group.create_task(reading.fact("boot_id", _text(client, "/proc/sys/kernel/random/boot_id")))
            version = group.create_task(reading.fact("kernel", _text(client, "/proc/version")))
            containerd = group.create_task(reading.fact("containerd", _containerd(client)))
            nvidia = group.create_task(reading.fact("driver", _text(client, "/proc/driver/nvidia/version")))
            harden = group.create_task(reading.fact("bpf_jit_harden", _sysctl(client, "net.core.bpf_jit_harden")))
            restrict = group.create_task(reading.fact("kptr_restrict", _sysctl(client, "kernel.kptr_restrict")))
            modules = group.create_task(reading.fact("modules", loaded_modules(client)))
            extensions = group.create_task(reading.fact("extensions", _extensions(client)))
            devices = group.create_task(reading.fact("char_majors", _text(client, "/proc/devices")))
            part = group.create_task(reading.fact("part", _part(client)))
            udev = group.create_task(reading.fact("udev_rules", _text(client, UDEV_RULES)))
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from None
    boot, installed, loaded = boot_id.result(), extensions.result() or {}, modules.result()
    facts = NodeFacts(
        talos=talos.result(),
        boot_id=boot.strip() if boot is not None else None,
        kernel=_parsed(version.result(), parse.kernel_release) or parse.modules_kernel(installed),
        containerd=containerd.result(),
        driver=_parsed(nvidia.result(), parse.driver_version) or _loaded_driver(reading, installed, loaded),
        toolkit=parse.toolkit_version(installed),
        bpf_jit_harden=harden.result(),
        kptr_restrict=restrict.result(),
        modules=loaded,
        extensions=extensions.result(),
        char_majors=_parsed(devices.result(), parse.char_majors),
        part=part.result(),
        udev_rules=udev.result(),
    )
    return replace(facts, unread=reading.reasons(facts))


async def spec_source(client: MachineClient, path: str = SPEC_SOURCE) -> str | None:
    """Return the generated spec's text, None if there is none yet (role os:admin). Raises ApiError otherwise."""
    try:
        return (await client.read(path)).decode()
    except NotFound:
        return None


class _Reading:
    """Gathers why facts could not be read."""

    def __init__(self) -> None:
        self._reasons: dict[str, str] = {}
        self.absent: set[str] = set()

    async def fact(self, name: str, answer: Coroutine[Any, Any, _ValueT]) -> _ValueT | None:
        try:
            return await answer
        except (Unreachable, CertificateRejected):
            raise
        except ApiError as error:
            self._reasons[name] = error.detail
            if isinstance(error, NotFound):
                self.absent.add(name)
            return None

    def reasons(self, facts: NodeFacts) -> dict[str, str]:
        """Return a reason for every fact that is None."""
        missing = [item.name for item in fields(facts) if getattr(facts, item.name) is None]
        return {name: self._reasons.get(name) or _UNTOLD[name] for name in missing}


_UNTOLD = {
    "kernel": "/proc/version does not name it",
    "driver": "/proc/driver/nvidia/version does not name it",
    "toolkit": "no extension nvidia-container-toolkit is installed",
}


def _loaded_driver(reading: _Reading, installed: Mapping[str, str], loaded: frozenset[str] | None) -> str | None:
    # The kernel module comes from its extension only, so a loaded one has the extension's version.
    if "driver" in reading.absent or loaded is None or "nvidia" not in loaded:
        return None
    return parse.module_driver_version(installed)


def _parsed(text: str | None, parser: Callable[[str], _ValueT]) -> _ValueT | None:
    return parser(text) if text is not None else None


async def _talos(client: MachineClient) -> str:
    return (await client.version()).tag


async def _text(client: MachineClient, path: str) -> str:
    return (await client.read(path)).decode(errors="replace")


async def _part(client: MachineClient) -> str:
    try:
        return await _text(client, PART_PATH)
    except NotFound:
        return ""


async def _containerd(client: MachineClient) -> str:
    item = await client.resource_get(SBOM_ITEMS, "containerd")
    return str(item.spec["version"]).removeprefix("v")


async def _sysctl(client: MachineClient, name: str) -> int:
    """Return a sysctl: from the resource that Talos keeps of those it sets, else from the file (role os:admin)."""
    try:
        return int((await client.resource_get(KERNEL_PARAMS, f"proc.sys.{name}")).spec["current"])
    except NotFound:
        return int(await _text(client, f"/proc/sys/{name.replace('.', '/')}"))


async def loaded_modules(client: MachineClient) -> frozenset[str]:
    """Return the loaded kernel modules: from the resource, else (Talos before 1.11) from the file (role os:admin).

    Raises ApiError where neither tells.
    """
    try:
        listed = frozenset(module.id for module in await client.resource_list(LOADED_MODULES))
    except (Unreachable, CertificateRejected):
        raise
    except ApiError:
        listed = frozenset()  # a release without the resource refuses the list, or answers with none
    if listed:
        return listed
    try:
        text = await _text(client, "/proc/modules")
    except NotFound:
        return frozenset()  # a kernel without loadable modules
    return frozenset(line.split()[0] for line in text.splitlines() if line.strip())


async def _extensions(client: MachineClient) -> dict[str, str]:
    listed = [status.spec["metadata"] for status in await client.resource_list(EXTENSIONS)]
    return {str(metadata["name"]): str(metadata["version"]) for metadata in listed}
