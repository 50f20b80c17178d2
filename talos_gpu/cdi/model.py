"""The CDI specification 1.1.0 as values (tags.cncf.io/container-device-interface/specs-go v1.1.0, config.go).

Field names are the specification's in snake case; what a spec leaves out has the value that the Go library gives it.
`line` is where the element starts in the text, from 1; it takes no part in comparisons.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class DeviceNode:
    """A device node made in the container; major 0 means that the runtime looks it up on the host."""

    path: str = ""
    host_path: str = ""
    type: str = ""
    major: int = 0
    minor: int = 0
    file_mode: int | None = None
    permissions: str = ""
    uid: int | None = None
    gid: int | None = None
    line: int = field(default=0, compare=False)

    @property
    def on_host(self) -> str:
        """Where the node lies on the host."""
        return self.host_path or self.path


@dataclass(frozen=True, slots=True)
class Hook:
    """A program of the host run by the container runtime; `args[0]` is free, `path` is what is executed."""

    hook_name: str = ""
    path: str = ""
    args: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    timeout: int | None = None
    line: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Mount:
    """A mount; type "" is a bind mount."""

    host_path: str = ""
    container_path: str = ""
    options: tuple[str, ...] = ()
    type: str = ""
    line: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class NetDevice:
    """A network interface moved into the container (1.1.0)."""

    host_interface_name: str = ""
    name: str = ""
    line: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class IntelRdt:
    """Resource director settings (0.7.0); 1.1.0 has schemata and enable_monitoring instead of enable_cmt and _mbm."""

    clos_id: str = ""
    l3_cache_schema: str = ""
    mem_bw_schema: str = ""
    enable_cmt: bool = False
    enable_mbm: bool = False
    schemata: tuple[str, ...] | None = None
    enable_monitoring: bool = False
    line: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class ContainerEdits:
    """What is changed in a container that gets the device. None in a list stands for a null of the text."""

    env: tuple[str, ...] = ()
    device_nodes: tuple[DeviceNode | None, ...] = ()
    net_devices: tuple[NetDevice | None, ...] = ()
    hooks: tuple[Hook | None, ...] = ()
    mounts: tuple[Mount | None, ...] = ()
    intel_rdt: IntelRdt | None = None
    additional_gids: tuple[int, ...] = ()
    line: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Device:
    """A device that a container can ask for as `<kind>=<name>`."""

    name: str = ""
    annotations: tuple[tuple[str, str], ...] = ()
    container_edits: ContainerEdits = ContainerEdits()
    line: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Spec:
    """A CDI spec; `container_edits` apply to every container that gets any of its devices."""

    cdi_version: str = ""
    kind: str = ""
    annotations: tuple[tuple[str, str], ...] = ()
    devices: tuple[Device, ...] = ()
    container_edits: ContainerEdits = ContainerEdits()
    line: int = field(default=0, compare=False)

    def all_edits(self) -> Iterator[ContainerEdits]:
        """The common edits, then each device's."""
        yield self.container_edits
        for device in self.devices:
            yield device.container_edits

    def hooks(self) -> Iterator[Hook]:
        """Every hook, the common ones first."""
        return (hook for edits in self.all_edits() for hook in edits.hooks if hook is not None)

    def mounts(self) -> Iterator[Mount]:
        """Every mount, the common ones first."""
        return (mount for edits in self.all_edits() for mount in edits.mounts if mount is not None)

    def device_nodes(self) -> Iterator[DeviceNode]:
        """Every device node, the common ones first."""
        return (node for edits in self.all_edits() for node in edits.device_nodes if node is not None)
