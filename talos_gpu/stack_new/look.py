"""What the node itself tells to the role os:reader: release, name, extensions, GPU, driver.

Sources: siderolabs/talos pkg/machinery/resources: hardware PCIDevices (vendor_id, product), k8s Nodenames; the driver's
version is in its extension's (siderolabs/extensions nvidia-gpu), or in /proc for os:admin.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from talos_gpu.stack_new.ask import Answers
from talos_gpu.talos import parse
from talos_gpu.talos.client import MachineClient
from talos_gpu.talos.credentials import TalosConfig
from talos_gpu.talos.endpoint import forwarded_to
from talos_gpu.talos.errors import ApiError, CertificateRejected, Unreachable
from talos_gpu.talos.facts import NodeFacts, read_facts
from talos_gpu.talos.messages import Resource

PCI_DEVICES = "PCIDevices.hardware.talos.dev"
NODENAMES = "Nodenames.kubernetes.talos.dev"
_NVIDIA = "0x10de"
_DISPLAY = "0x03"
"""PCI class of display controllers; an NVIDIA card's audio function is of another."""
_BRACKETS = re.compile(r"\[([^\]]+)\]")


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen, and what to tell the person."""

    answers: Answers
    told: tuple[str, ...]


async def look(address: str, endpoint: str, talosconfig: str, context: str = "") -> Seen:
    """Ask the node. What it does not tell to this role is told and left open.

    Raises TalosConfigInvalid, Unreachable or CertificateRejected.
    """
    dial = endpoint or address
    credentials = TalosConfig.load(talosconfig or None, context or None)
    async with MachineClient(credentials, dial, forwarded_to(dial, address)) as client:
        facts = await read_facts(client)
        cards = [item.spec for item in await _listed(client, PCI_DEVICES, "hardware")]
        names = [str(item.spec.get("nodename") or "") for item in await _listed(client, NODENAMES, "k8s")]
    answers = Answers(
        node=next(filter(None, names), ""),
        address=address,
        endpoint=endpoint,
        talosconfig=talosconfig,
        talos_context=context,
        talos=facts.talos or "",
        gpu=next(_models(cards), ""),
        driver=facts.driver or parse.module_driver_version(facts.extensions or {}) or "",
    )
    return Seen(answers, tuple(_told(facts, answers, [*_models(cards)])))


async def _listed(client: MachineClient, kind: str, namespace: str) -> list[Resource]:
    try:
        return list(await client.resource_list(kind, namespace))
    except (Unreachable, CertificateRejected):
        raise
    except ApiError:
        return []  # this release or role does not tell: the person is asked


def _models(cards: list[Mapping[str, Any]]) -> Iterator[str]:
    """The marketing names of NVIDIA's display controllers: `GP106GL [Quadro P2000]` -> `Quadro P2000`."""
    for card in cards:
        kind = str(card.get("class_id") or "")
        if card.get("vendor_id") == _NVIDIA and (not kind or kind.startswith(_DISPLAY)):
            product = str(card.get("product") or "")
            found = _BRACKETS.search(product)
            yield found[1] if found else product


def _told(facts: NodeFacts, answers: Answers, models: list[str]) -> Iterator[str]:
    yield f"{answers.address}: Talos {answers.talos or 'unknown'}, driver {answers.driver or 'unknown'}"
    extensions = {name: version for name, version in (facts.extensions or {}).items() if "nvidia" in name}
    yield "extensions: " + (
        ", ".join(f"{name} {version}" for name, version in sorted(extensions.items())) or "none of NVIDIA"
    )
    yield "GPUs: " + (", ".join(models) or "none seen")
    if len(set(models)) > 1:
        yield f"several models: the file names {models[0]}"
