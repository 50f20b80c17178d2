"""Settings of the node and of its machine config."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from talos_gpu.settings.base import Strict
from talos_gpu.settings.rules import Address, DriverVersion, Host, NodeName, TalosVersion, Text
from talos_gpu.settings.windows import Window


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


class BeforeRestart(Strict):
    """What is done before this program restarts the node; in the end the node is uncordoned whatever happened."""

    cordon: bool = Field(
        default=True,
        title="Make the node quiet",
        description="Cordon it and wait until no encode runs; `false` restarts it at once.",
    )
    encode_deadline_s: int = Field(
        default=1800,
        ge=0,
        le=86400,
        title="Deadline of encodes",
        description="Seconds for running encodes to end: ffmpeg or HandBrake in the worker, sessions on the GPU.",
    )
    on_deadline: Literal["stop", "continue"] = Field(
        default="stop",
        title="After the deadline",
        description="`stop`: no restart, the `up` fails. `continue`: restart all the same.",
    )
    drain: bool = Field(
        default=False,
        title="Drain",
        description="Evict the node's pods first, as their PodDisruptionBudgets allow it.",
    )
    drain_deadline_s: int = Field(
        default=300, ge=1, le=86400, title="Deadline of the drain", description="Seconds; after it there is no restart."
    )
    pull_images: bool = Field(
        default=True,
        title="Pull images",
        description="Have the images of the stack's pods on the node before it restarts.",
    )


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
    before_restart: BeforeRestart = Field(
        default_factory=BeforeRestart, title="Before a restart", description="How the node is made quiet."
    )
    windows: tuple[Window, ...] = Field(
        default=(),
        title="Maintenance windows",
        description="When `up` may begin with what restarts the node; outside of them it refuses that before anything "
        "is applied. Without any: always.",
    )
    allow_removal: bool = Field(
        default=False,
        title="Allow removal",
        description="Whether the first `up` may take away what the live machine config has and the base has not.",
    )
