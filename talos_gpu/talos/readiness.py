"""Whether a node has become what its machine config says, condition by condition; and why it may not have. Pure.

What the driver's lines mean: NVIDIA's kernel module (nv-pci.c, nv-frontend) prints them; seen in siderolabs/talos#8764,
cozystack/cozystack#3563 and #3571 (no GPU: the boot fails after 70 minutes and begins anew),
NixOS/nixos-hardware#1880 (legacy branches).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from talos_gpu.talos.effective import effective_differences
from talos_gpu.talos.facts import NodeFacts
from talos_gpu.talos.machine_config import GpuMachineConfig
from talos_gpu.talos.messages import Service
from talos_gpu.talos.releases import ReleaseFacts

KERNEL_MODULES = ("nonfree-kmod-nvidia", "nvidia-open-gpu-kernel-modules")
"""Extensions that bring the kernel modules, without their suffix -lts or -production."""
TOOLKIT = "nvidia-container-toolkit"


@dataclass(frozen=True, slots=True)
class Unmet:
    """A condition that does not hold. `name`: api, boot-id, services, config, node."""

    name: str
    seen: str


@dataclass(frozen=True, slots=True)
class Expected:
    """What is waited for."""

    want: GpuMachineConfig
    old_boot: str | None
    """The boot id that must be gone; None where no restart is due."""


def unmet(facts: NodeFacts, services: Sequence[Service], expected: Expected) -> tuple[Unmet, ...]:
    """Return the conditions of the machine that do not hold, in the order in which a boot reaches them."""
    if expected.old_boot is not None and facts.boot_id in {None, expected.old_boot}:
        return (Unmet("boot-id", f"still on boot {facts.boot_id}"),)
    waiting = "; ".join(map(_unsettled, filter(_concerns, services)))
    lacks = "; ".join(effective_differences(facts, None, expected.want))
    found = (Unmet("services", waiting), Unmet("config", lacks))
    return tuple(condition for condition in found if condition.seen)


def _concerns(service: Service) -> bool:
    return service.id.startswith("ext-") and not service.settled


def _unsettled(service: Service) -> str:
    reason = f" ({service.last_message})" if service.last_message else ""
    return f"service {service.id} is {service.state}{reason}"


def likely_cause(
    condition: Unmet, facts: NodeFacts | None, services: Sequence[Service], dmesg: str, release: ReleaseFacts
) -> str:
    """Return why the condition does not hold, as far as the node tells; "" where nothing points to a cause."""
    match condition.name:
        case "api":
            return (
                "the node has not come back: firmware that waits for a key, a boot that fails on the console, or an "
                "address that is another one after the boot"
            )
        case "boot-id":
            return "it answers and was not restarted: a restart that hangs in its shutdown, or a boot id that is kept"
        case "node":
            return "the kubelet does not run or cannot reach the API server: talosctl service kubelet"
        case _:
            return next(_causes(facts, services, dmesg, release), "")


_LEGACY = re.compile(r"supported through the NVIDIA (\S+) Legacy drivers")
_NO_GPU = re.compile(r"NVRM: No NVIDIA (?:GPU|graphics adapter|devices) (?:found|probed)|No NVIDIA GPU found")
_OPEN = re.compile(r"requires use of the NVIDIA open kernel modules|not supported by open")


def _causes(facts: NodeFacts | None, services: Sequence[Service], dmesg: str, release: ReleaseFacts) -> Iterator[str]:
    installed = None if facts is None else facts.extensions
    if installed is not None:
        missing = [
            f"{' or '.join(stems)} (-lts or -production)"
            for stems in (KERNEL_MODULES, (TOOLKIT,))
            if not any(name.startswith(stem) for name in installed for stem in stems)
        ]
        if missing:
            have = ", ".join(sorted(installed)) or "none"
            yield (
                f"the schematic lacks the extension {' and '.join(missing)}; installed are: {have}. "
                f"For Talos {release.minor} take {' and '.join(release.extensions['lts'])}"
            )
    if found := _LEGACY.search(dmesg):
        yield (
            f"the driver branch is too new for this GPU: the kernel says that it needs {found[1]}. "
            f"Take {' and '.join(release.extensions['lts'])} (driver {release.lts_driver})"
        )
    if _OPEN.search(dmesg):
        yield "the wrong flavour of kernel modules for this GPU: open where closed ones are needed, or the reverse"
    if _NO_GPU.search(dmesg):
        yield (
            "no NVIDIA GPU on the bus (passthrough not set up, card not seated): with the extension and without a GPU "
            "the boot fails and repeats about every 70 minutes, although the node is Ready meanwhile"
        )
    if any(_concerns(service) for service in services):
        yield "an extension's service does not start: talosctl logs SERVICE; without a GPU none of NVIDIA's does"
