"""What is verified: the part of a stack's settings that the proofs need, plain values only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from talos_gpu.settings import Settings

WORKER_APP = "tdarr-node-gpu"


@dataclass(frozen=True, slots=True)
class Subject:
    """One node's GPU, how a pod gets it, and where the worker runs."""

    node: str
    address: str
    endpoint: str
    """HOST or HOST:PORT of the Talos API."""
    release: str
    """Talos release whose facts hold: `v1.11.1`."""
    model: str
    driver: str
    """The version that the stack expects."""
    memory_mib: int
    encode_floor: float
    """Times real time; 0: any."""
    method: str
    hook: str
    visible_devices: str
    driver_capabilities: str
    runtime_class: str | None
    """None: containerd's default runtime injects the GPU."""
    namespace: str | None
    """Of the worker; None: the stack has none, so a GPU without an encoder is no failure."""
    image: str | None
    """Of the worker."""

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The subject of a stack."""
        node, cdi, tdarr = settings.node, settings.cdi, settings.tdarr
        return cls(
            node=node.name,
            address=node.address,
            endpoint=node.endpoint or node.address,
            release=node.release,
            model=node.gpu.model,
            driver=node.gpu.driver,
            memory_mib=node.gpu.memory_mib,
            encode_floor=node.gpu.encode_floor,
            method=cdi.method,
            hook=cdi.hook,
            visible_devices=(tdarr.visible_devices if tdarr is not None else None) or cdi.visible_devices,
            driver_capabilities=tdarr.driver_capabilities if tdarr is not None else "compute,video,utility",
            runtime_class=cdi.runtime_class_name if cdi.runtime == "runtime-class" else None,
            namespace=tdarr.namespace.name if tdarr is not None else None,
            image=tdarr.image if tdarr is not None else None,
        )


@dataclass(frozen=True, slots=True)
class Credentials:
    """Paths; empty: the environment's, then the usual place. Context of the talosconfig; empty: its current one."""

    talosconfig: str = ""
    kubeconfig: str = ""
    talos_context: str = ""
