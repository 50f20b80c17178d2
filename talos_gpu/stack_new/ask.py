"""What a stack file needs, and asking for what is not known."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import typer

LABELS = {
    "node": "Node's name, as `kubectl get nodes` shows it",
    "address": "Node's IP address",
    "talos": "Talos release (v1.11.1)",
    "gpu": "GPU, as nvidia-smi names it (Quadro P2000)",
    "driver": "NVIDIA driver version (535.247.01)",
    "memory_mib": "GPU's memory in MiB, as nvidia-smi shows it (5120)",
    "base": "Path of the node's machine config",
    "server_url": "URL of the Tdarr server (- for none: the GPU alone)",
    "tdarr_image": "Worker's image with tag, of the same version as the server's",
}
FLAGS = {name: f"--{name.replace('_', '-')}" for name in LABELS}
NONE = "-"


@dataclass(frozen=True, slots=True)
class Answers:
    """What is known; "" and 0 are not known."""

    node: str = ""
    address: str = ""
    endpoint: str = ""
    talosconfig: str = ""
    talos_context: str = ""
    talos: str = ""
    gpu: str = ""
    driver: str = ""
    memory_mib: int = 0
    base: str = ""
    server_url: str = ""
    tdarr_image: str = ""
    method: str = ""
    """Not known: the one that the release table names first."""

    def or_else(self, other: Answers) -> Answers:
        """These, and of `other` what these do not know."""
        names = [item.name for item in fields(self)]
        return replace(self, **{name: getattr(self, name) or getattr(other, name) for name in names})

    @property
    def missing(self) -> list[str]:
        """Names of what a stack file needs and is not known."""
        needed = [name for name in LABELS if name not in ("server_url", "tdarr_image")]
        if self.server_url not in ("", NONE):
            needed.append("tdarr_image")
        return [name for name in needed if not getattr(self, name)]


def ask(answers: Answers, stack: str) -> Answers:
    """Ask for what is missing, and for the worker if nothing is said of it."""
    given = answers
    if not given.node:
        given = replace(given, node=typer.prompt(LABELS["node"], default=stack, err=True))
    if not given.server_url:
        given = replace(given, server_url=typer.prompt(LABELS["server_url"], default=NONE, err=True))
    for name in given.missing:
        kind = int if name == "memory_mib" else str
        given = replace(given, **{name: typer.prompt(LABELS[name], type=kind, err=True)})
    return given
