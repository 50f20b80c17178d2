"""GpuRuntimeClass: the name by which pods ask for the NVIDIA runtime."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as k8s

from talos_gpu.talos.machine_config import LABEL


@dataclass(frozen=True, slots=True)
class GpuRuntimeClassArgs:
    """What GpuRuntimeClass needs."""

    name: str
    handler: str
    """containerd's runtime: `nvidia-cdi`, `nvidia`."""
    shared: k8s.Provider
    """Takes an object that is there already as it is: it may be left from a stack that was destroyed."""


class GpuRuntimeClass(pulumi.ComponentResource):
    """A RuntimeClass, shared by all stacks of a cluster: it stays on destroy, and one stack owns it by config."""

    name: pulumi.Output[str]

    def __init__(self, name: str, args: GpuRuntimeClassArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("talos-nvidia-cdi:components:GpuRuntimeClass", name, None, opts)
        made = k8s.node.v1.RuntimeClass(
            f"{name}-object",
            metadata={"name": args.name},
            handler=args.handler,
            scheduling={
                "node_selector": {LABEL[0]: LABEL[1]},
                "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}],
            },
            opts=pulumi.ResourceOptions(
                parent=self, provider=args.shared, retain_on_delete=True, delete_before_replace=True
            ),
        )
        self.name = made.id.apply(lambda _: args.name)
        self.register_outputs({"name": self.name})
