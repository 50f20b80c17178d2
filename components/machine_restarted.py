"""MachineRestarted: the restart that only takes the old method's containerd part away, after the new worker is up."""

from __future__ import annotations

import pulumi
from pulumi.dynamic import ReadResult, Resource
from typing_extensions import override

from components.dynamic import Props, whole
from components.machine_ready import VERSION, MachineReadyProvider


class MachineRestartedProvider(MachineReadyProvider):
    """Does what MachineReady does where MachineState has put the restart off, and nothing elsewhere."""

    @override
    def read(self, id_: str, props: Props) -> ReadResult:
        """The facts are MachineReady's to look at."""
        return ReadResult(id_, whole(props))

    @override
    async def _apply(self, props: Props) -> Props:
        if props["reboot"] == "none" or props["apply_mode"] == "staged":
            return {**props, "boot_id": props["boot_id_ready"], "facts": {}, "reboot_pending": props["pending"]}
        return await super()._apply(props)


class MachineRestarted(Resource, module="talos", name="MachineRestarted"):
    """The node after everything else."""

    boot_id: pulumi.Output[str]
    """The boot on which the config was seen to hold last; an output only."""
    reboot_pending: pulumi.Output[bool]

    def __init__(self, name: str, props: Props, opts: pulumi.ResourceOptions | None = None) -> None:
        declared = {**props, "version": VERSION, **dict.fromkeys(("boot_id", "facts", "reboot_pending"))}
        super().__init__(MachineRestartedProvider(), name, declared, opts)
