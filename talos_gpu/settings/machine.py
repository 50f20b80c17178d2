"""Settings of the node and of its machine config."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from talos_gpu.settings.base import Strict
from talos_gpu.settings.rules import Address, DriverVersion, Host, NodeName, TalosVersion, Text


class Gpu(Strict):
    """The GPU that the node is expected to have."""

    model: Text = Field(title="GPU model", description="As nvidia-smi names it: `Quadro P2000`.")
    driver: DriverVersion = Field(
        title="Driver version",
        description="What the verification commands expect; the spec is judged by the driver that is really loaded.",
    )
    memory_mib: int = Field(gt=0, title="GPU memory", description="In MiB, as nvidia-smi shows it: 5120.")
    encode_floor: float = Field(
        default=1.0,
        ge=0,
        le=1000,
        title="Least encode speed",
        description="What `verify` demands of an encode of 720p, times real time (a Quadro P2000 does 5.2); 0: any.",
    )


class Node(Strict):
    """One Talos node: a stack is a node."""

    name: NodeName = Field(title="Node name", description="As Kubernetes knows it (`kubernetes.io/hostname`).")
    address: Address = Field(title="Node address", description="IP address of the node.")
    endpoint: Host | None = Field(
        default=None,
        title="Talos API endpoint",
        description="HOST or HOST:PORT to dial for the Talos API; default: the node's address, port 50000. "
        "A control plane forwards to the node, a worker does not.",
    )
    talos: TalosVersion = Field(title="Talos release", description="Decides the strategy: `v1.11.1`.")
    treat_as: TalosVersion | None = Field(
        default=None,
        title="Treat as release",
        description="A known release whose facts hold for this one: the explicit way past a refusal.",
    )
    gpu: Gpu = Field(title="GPU", description="The GPU that the node is expected to have.")

    @property
    def release(self) -> str:
        """The release whose facts hold."""
        return self.treat_as or self.talos


class Machine(Strict):
    """The node's machine config, and how it is applied."""

    base: Text = Field(
        title="Base machine config",
        description="Path of the node's machine config without the GPU parts; relative to the project, `~` allowed.",
    )
    reboot: Literal["allow", "forbid"] = Field(
        default="allow",
        title="Reboot",
        description="`forbid` refuses a config that would restart the node, before anything is applied.",
    )
    apply_mode: Literal["auto", "no_reboot", "staged"] = Field(
        default="auto",
        title="Apply mode",
        description="Talos's mode. `staged` waits for the next boot; the output `reboot_pending` then says so.",
    )
    ready_timeout_s: int = Field(
        default=600,
        ge=10,
        le=7200,
        title="Deadline of the node",
        description="Seconds within which the node must be back, configured and Ready after an apply.",
    )
