"""GpuMachine: the node's machine config, applied where it lacks something, and seen to hold."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pulumi
import pulumiverse_talos as talos

from components.access import Target
from components.machine_ready import MachineReady
from components.machine_restarted import MachineRestarted
from components.machine_state import MachineState, digest
from talos_gpu.settings.machine import Machine
from talos_gpu.talos.credentials import Credentials
from talos_gpu.talos.footprint import footprint

_MARGIN_S = 60
"""ConfigurationApply retries until its timeout: it gets no longer than the node has, and a minute at least."""


@dataclass(frozen=True, slots=True)
class GpuMachineArgs:
    """What GpuMachine needs."""

    target: Target
    release: str
    """Talos release whose facts hold: `v1.11.1`."""
    method: str
    default_runtime: bool
    config: str = field(repr=False)
    """The whole machine config, rendered: the text that is dry-run and applied."""
    credentials: Credentials
    machine: Machine
    """How the config is applied, and what is done before a restart."""
    talos: str
    """The release that the node is said to run."""
    images: Sequence[str]
    """Images that the stack's pods need after a restart."""
    adopts: str = ""
    """NAMESPACE/NAME of the Deployment that the stack takes over: its pods are asked for encodes before a restart."""


class GpuMachine(pulumi.ComponentResource):
    """MachineState, ConfigurationApply, MachineReady, in this order.

    MachineState dry-runs the config and refuses a restart that the stack forbids. Its token replaces
    ConfigurationApply when refresh has found drift; nothing is ever done on destroy. ConfigurationApply never restarts
    the node: a config that would is staged, and MachineReady restarts it, or MachineRestarted after the worker.
    """

    ready: MachineReady
    """What all that follows depends on."""
    state: MachineState
    apply: talos.machine.ConfigurationApply
    facts: pulumi.Output[Mapping[str, str]]

    def __init__(self, name: str, args: GpuMachineArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("talos-nvidia-cdi:components:GpuMachine", name, None, opts)
        about = {
            "node": args.target.name,
            "address": args.target.address,
            "endpoint": args.target.endpoint,
            "release": args.release,
            "method": args.method,
            "default_runtime": args.default_runtime,
            "apply_mode": args.machine.apply_mode,
            "reboot_policy": args.machine.reboot,
            "windows": [window.model_dump(mode="json") for window in args.machine.windows],
            "before_restart": {**args.machine.before_restart.model_dump(), "images": list(args.images)},
        }
        self.state = MachineState(
            f"{name}-state",
            {
                **about,
                "talos": args.talos,
                "config_sha256": digest(args.config),
                "footprint": footprint(args.config),
                "allow_removal": args.machine.allow_removal,
            },
            pulumi.ResourceOptions(parent=self),
        )
        timeout = f"{max(args.machine.ready_timeout_s, _MARGIN_S)}s"
        self.apply = talos.machine.ConfigurationApply(
            f"{name}-apply",
            node=args.target.address,
            endpoint=args.target.endpoint,
            client_configuration_wo=_client_configuration(args.credentials),  # the SDK makes both secret
            machine_configuration_input=args.config,
            apply_mode=self.state.mode,
            timeouts={"create": timeout, "update": timeout, "delete": timeout},
            opts=pulumi.ResourceOptions(
                parent=self, depends_on=[self.state], replacement_trigger=self.state.token, delete_before_replace=False
            ),
        )
        about["adopts"] = args.adopts
        self.ready = MachineReady(
            f"{name}-ready",
            {
                **about,
                "token": self.state.token,
                "boot_id_before": self.state.boot_id,
                "reboot": self.state.reboot,
                "reboot_expected": self.state.reboot_expected,
                "config_hash": self.apply.machine_configuration_hash,
                "timeout_s": args.machine.ready_timeout_s,
            },
            pulumi.ResourceOptions(parent=self, depends_on=[self.state, self.apply]),
        )
        self._name, self._about, self._timeout_s = name, about, args.machine.ready_timeout_s
        self.facts = self.ready.facts
        self.register_outputs({"facts": self.facts})

    def restarted(self, after: Sequence[pulumi.Resource]) -> MachineRestarted:
        """Declare the restart that waits for the worker: `after` are the worker and its proof, where there are any."""
        return MachineRestarted(
            f"{self._name}-restarted",
            {
                **self._about,
                "token": self.ready.token,
                "boot_id_before": self.state.boot_id,
                "boot_id_ready": self.ready.boot_id,
                "pending": self.ready.reboot_pending,
                "reboot": self.state.reboot_after.apply(lambda after: after or "none"),  # 0.1.0 had no such output
                "reboot_expected": self.state.reboot_expected,
                "config_hash": self.apply.machine_configuration_hash,
                "timeout_s": self._timeout_s,
            },
            pulumi.ResourceOptions(parent=self, depends_on=[self.ready, *after]),
        )


def _client_configuration(credentials: Credentials) -> talos.machine.ConfigurationApplyClientConfigurationWoArgs:
    """The talosconfig's context as the provider wants it, base64 of PEM; write-only: the state does not keep it."""
    return talos.machine.ConfigurationApplyClientConfigurationWoArgs(
        ca_certificate=base64.b64encode(credentials.ca).decode(),
        client_certificate=base64.b64encode(credentials.crt).decode(),
        client_key=base64.b64encode(credentials.key).decode(),
    )
