"""All settings of a stack."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import Field

from talos_gpu.settings.base import Strict
from talos_gpu.settings.cdi import Cdi
from talos_gpu.settings.machine import Machine, Node
from talos_gpu.settings.rules import pinned
from talos_gpu.settings.tdarr import Tdarr

_SYSCTL_PRICE = (
    "cdi.method: sysctl sets net.core.bpf_jit_harden to 1 for the whole node, where Talos has 2: BPF programs of "
    "privileged users are no longer hardened against JIT spraying; methods spec and jit-cdi leave it at 2"
)


def base_path(base: str) -> Path:
    """Where the base machine config lies that `machine.base` names."""
    return Path(base).expanduser()


class Settings(Strict):
    """A stack: one node and what runs on its GPU."""

    node: Node = Field(title="Node", description="The Talos node.")
    machine: Machine = Field(title="Machine", description="Its machine config.")
    cdi: Cdi = Field(default_factory=Cdi, title="CDI", description="How containers get the GPU.")
    tdarr: Tdarr | None = Field(
        default=None, title="Tdarr", description="The worker; without it only the GPU is set up."
    )
    verify: bool = Field(
        default=False,
        title="Verify",
        description="`true`: an `up` fails unless the GPU is proven to encode, decode and compute in the worker.",
    )
    adopt: bool = Field(
        default=False,
        title="Adopt",
        description="Take over what was made by hand: the worker's Deployment of the same name and selector; the "
        "write-up's DaemonSet and generator are deleted once ours are ready.",
    )
    talosconfig: str = Field(
        default="", title="talosconfig", description="Path; default: $TALOSCONFIG, then ~/.talos/config."
    )
    talos_context: str = Field(
        default="", title="talosconfig context", description="Name in the talosconfig; default: its current one."
    )
    kubeconfig: str = Field(
        default="", title="kubeconfig", description="Path; default: $KUBECONFIG, then ~/.kube/config."
    )

    @property
    def base_path(self) -> Path:
        """Where the base machine config lies."""
        return base_path(self.machine.base)

    @property
    def images(self) -> Sequence[str]:
        """The images of all pods that the stack runs on the node."""
        own = [self.cdi.image] if self.cdi.method == "spec" else []
        return [*own, *([self.tdarr.image] if self.tdarr is not None else [])]

    @property
    def warnings(self) -> Sequence[str]:
        """What works and still should be looked at, a sentence each."""
        images = {"cdi.image": self.cdi.image} if self.cdi.method == "spec" else {}
        if self.tdarr is not None:
            images["tdarr.image"] = self.tdarr.image
        price = [_SYSCTL_PRICE] if self.cdi.method == "sysctl" else []
        return price + [
            f"{key}: {image} is not pinned by digest: `talos-gpu images pin` resolves it"
            for key, image in images.items()
            if not pinned(image)
        ]
