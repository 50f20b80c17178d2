"""What talos_gpu.verify raises.

TalosGpuError
├── ContainerLost            a command could not be run in the container, or its end is not known
├── NoWorkerWanted           the stack has no worker at all
├── NoWorker                 no running worker pod to look into
└── PodStuck                 the throwaway pod did not start; says what it waits for
"""

from __future__ import annotations

from talos_gpu.errors import TalosGpuError


class ContainerLost(TalosGpuError):
    """A command could not be run in the container, or its end is not known."""


class NoWorker(TalosGpuError):
    """There is no running worker pod on the node; `seen` says what there is instead."""

    def __init__(self, namespace: str, name: str, node: str, seen: str) -> None:
        super().__init__(
            f"no running pod of {namespace}/{name} on {node}: {seen}",
            remedy="use --pod for a throwaway pod; `talos-gpu doctor` says why the worker does not run",
        )


class NoWorkerWanted(TalosGpuError):
    """The stack has no worker at all."""

    def __init__(self, node: str) -> None:
        super().__init__(
            f"the stack of {node} has no worker (tdarr) to look into", remedy="use --pod --image IMAGE, one with ffmpeg"
        )


class PodStuck(TalosGpuError):
    """The throwaway pod is not running in time."""

    def __init__(self, namespace: str, name: str, seconds: float, seen: str) -> None:
        super().__init__(
            f"pod {namespace}/{name} did not run within {seconds:g} s; last seen: {seen}",
            remedy="`talos-gpu explain` knows the usual reasons; --start-seconds allows a longer image pull",
        )
