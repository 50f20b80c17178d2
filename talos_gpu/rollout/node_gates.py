"""The gates that ask the node: `machine-ready` and `services`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from talos_gpu.rollout.gates import Asked, Said, Verdict
from talos_gpu.rollout.past import UNENDED
from talos_gpu.rollout.pulumi_cli import Pulumi
from talos_gpu.rollout.reach import machine
from talos_gpu.rollout.reboots import AFTER, READY
from talos_gpu.rollout.waiting import NotYet, wait
from talos_gpu.settings import Settings
from talos_gpu.settings.stack_file import stack_settings
from talos_gpu.talos.effective import effective_differences
from talos_gpu.talos.facts import NodeFacts, read_facts
from talos_gpu.talos.machine_config import GpuMachineConfig, wanted
from talos_gpu.talos.messages import Service
from talos_gpu.talos.releases import Method, strategy_for

_ADMIN = "use a talosconfig with role os:admin"


def machine_ready(asked: Asked) -> Said:
    """The Talos API answers, on the boot on which the machine config was seen to hold, and it holds; nothing waits.

    Raises PulumiFailed if the stack's state cannot be read.
    """
    settings = stack_settings(asked.stack_file)
    ready = _recorded(asked)
    if ready is None:
        cause = f"the state of {asked.stack} has no MachineReady: nobody saw its machine config hold"
        return Said(Verdict.UNKNOWN, cause=cause, remedy=f"pulumi up --stack {asked.stack}")

    async def look() -> Said | NotYet:
        async with machine(settings) as client:
            return _judged(asked, settings, ready, await read_facts(client))

    return wait(asked, look)


def services(asked: Asked) -> Said:
    """Every extension service (`ext-...`) is running and not unhealthy, or finished."""
    settings = stack_settings(asked.stack_file)

    async def look() -> Said | NotYet:
        async with machine(settings) as client:
            found = [service for service in await client.services() if service.id.startswith("ext-")]
        evidence = ", ".join(f"{service.id} {service.state}" for service in found) or "the node has none"
        lacks = "; ".join(map(_lack, (service for service in found if not service.settled)))
        if not lacks:
            return Said(Verdict.PASSED, evidence)
        unsettled = next(service.id for service in found if not service.settled)
        return NotYet(Said(Verdict.FAILED, evidence, lacks, f"talosctl -n {settings.node.address} logs {unsettled}"))

    return wait(asked, look)


def wanted_of(settings: Settings) -> GpuMachineConfig:
    """What the stack wants of its node's machine config."""
    default_runtime = settings.cdi.runtime == "default"
    return wanted(strategy_for(settings.node.release), Method(settings.cdi.method), default_runtime=default_runtime)


def _recorded(asked: Asked) -> Mapping[str, Any] | None:
    resources = Pulumi.find(asked.project, asked.stack_file.parent).state(asked.stack).get("resources") or ()
    outputs = {resource["type"]: resource["outputs"] for resource in resources if resource["type"] in {READY, AFTER}}
    after = outputs.get(AFTER, {})
    return after if after.get("reboot", "none") != "none" else outputs.get(READY)


def _judged(asked: Asked, settings: Settings, ready: Mapping[str, Any], facts: NodeFacts) -> Said | NotYet:
    boot, held, node = facts.boot_id, str(ready["boot_id"]), settings.node
    evidence = f"Talos {facts.talos}, boot {boot}; {_compared(asked, boot == held, ready)}"
    if boot is None:
        return Said(Verdict.UNKNOWN, evidence, f"the boot id could not be read: {facts.unread['boot_id']}", _ADMIN)
    if ready["reboot_pending"]:
        cause = "its machine config is staged and waits for the next boot"
        return Said(Verdict.FAILED, evidence, cause, f"talosctl -n {node.address} reboot")
    if _touched(asked):
        if ready["reboot"] != "none" and held == ready["boot_id_before"]:
            return Said(Verdict.FAILED, evidence, f"it was to restart and is on boot {held} as before")
        if boot != held:
            cause = f"it has restarted since its update: the machine config was seen to hold on boot {held}"
            return Said(Verdict.FAILED, evidence, cause, f"talosctl -n {node.address} dmesg")
    if lacks := effective_differences(facts, None, wanted_of(settings)):
        return NotYet(Said(Verdict.FAILED, evidence, "; ".join(lacks), f"pulumi up --refresh --stack {asked.stack}"))
    return Said(Verdict.PASSED, evidence)


def _touched(asked: Asked) -> bool:
    """Whether the update that went before made, or looked anew at, the machine, as far as anybody knows."""
    return bool(asked.update.get(UNENDED)) or any(change["type"] == READY for change in asked.update.get("changes", ()))


def _compared(asked: Asked, same: bool, ready: Mapping[str, Any]) -> str:
    """What the boot id was compared with."""
    where = "the machine config was seen to hold on it" if same else "not the one the machine config was seen on"
    if not asked.update:
        return f"{where}; nothing is known of the update before, so whether it was to restart was not compared"
    if not _touched(asked):
        return f"{where}; the update had nothing to do on the machine"
    return f"{where}; " + ("the update restarted it" if ready["reboot"] != "none" else "no restart was due")


def _lack(service: Service) -> str:
    reason = f" ({service.last_message})" if service.last_message else ""
    return f"service {service.id} is {service.state}{reason}"
