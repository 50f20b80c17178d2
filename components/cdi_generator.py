"""CdiGenerator: the Job that generates the spec on the host."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_kubernetes as k8s

from components.names import SYSTEM_NAMESPACE, labels, object_name, placement
from components.ordering import waits
from talos_gpu.cdi import Strategy
from talos_gpu.talos.facts import SPEC_SOURCE

APP = "nvidia-cdi-generator"
NVIDIA_CTK = "/usr/local/bin/nvidia-ctk"


@dataclass(frozen=True, slots=True)
class CdiGeneratorArgs:
    """What CdiGenerator needs; the outputs are CdiSource's, and a change of any replaces the Job."""

    node: str
    image: str
    hook: str
    deadline_s: int
    token: pulumi.Input[str]
    driver: pulumi.Input[str]
    toolkit: pulumi.Input[str]
    flags: Sequence[str] = ()
    """More of the generator's flags."""


class CdiGenerator(pulumi.ComponentResource):
    """Run `nvidia-ctk cdi generate` on the node, once per driver and toolkit version.

    A Job in kube-system enters the host's mount namespace and executes the binary directly, because a Talos host has
    no shell. It fails with the tool's own last line within the deadline, is tried again by the next `up`, and stays
    when done: a Job that is cleaned up would be run again by the next refresh and `up`.
    """

    job: k8s.batch.v1.Job
    generation: pulumi.Output[str | None]
    """The Job's uid; known only after it has completed."""

    def __init__(self, name: str, args: CdiGeneratorArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("talos-nvidia-cdi:components:CdiGenerator", name, None, opts)
        depends_on = waits(opts)
        self.job = k8s.batch.v1.Job(
            f"{name}-job",
            metadata=k8s.meta.v1.ObjectMetaArgs(
                name=object_name(APP, args.node),
                namespace=SYSTEM_NAMESPACE,
                labels=labels(APP, args.node),
                annotations={"pulumi.com/replaceUnready": "true"},  # a failed Job is tried again by the next up
            ),
            spec=k8s.batch.v1.JobSpecArgs(**job_spec(args)),
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=depends_on,
                delete_before_replace=True,  # its name is fixed
                custom_timeouts=pulumi.CustomTimeouts(create=f"{args.deadline_s + 30}s"),
            ),
        )
        self.generation = self.job.metadata.uid
        self.register_outputs({"generation": self.generation})


def command(hook: str, flags: Sequence[str] = ()) -> list[str]:
    """The generator's command line: util-linux's nsenter into pid 1's mounts, then nvidia-ctk itself."""
    words = ["nsenter", "--target", "1", "--mount", "--", NVIDIA_CTK, "cdi", "generate", f"--output={SPEC_SOURCE}"]
    own = [f"--nvidia-cdi-hook-path={NVIDIA_CTK}"] if hook == Strategy.NVIDIA_CTK else []
    return [*words, *own, *flags]


def job_spec(args: CdiGeneratorArgs) -> dict[str, Any]:
    """The Job's spec; any change of its pod template replaces it."""
    return {
        "backoff_limit": 0,
        "active_deadline_seconds": args.deadline_s,
        "template": {
            "metadata": {
                "labels": labels(APP, args.node),
                "annotations": {
                    "talos-nvidia-cdi/token": args.token,
                    "talos-nvidia-cdi/driver": args.driver,
                    "talos-nvidia-cdi/toolkit": args.toolkit,
                    "talos-nvidia-cdi/strategy": args.hook,
                },
            },
            "spec": {
                **placement(args.node),
                "restart_policy": "Never",
                "host_pid": True,
                "automount_service_account_token": False,
                "enable_service_links": False,
                "containers": [
                    {
                        "name": "generator",
                        "image": args.image,
                        "image_pull_policy": "IfNotPresent",
                        "command": command(args.hook, args.flags),
                        "security_context": {"privileged": True},
                        "termination_message_policy": "FallbackToLogsOnError",
                        "resources": {
                            "requests": {"cpu": "10m", "memory": "16Mi"},
                            "limits": {"memory": "512Mi"},
                        },
                    }
                ],
            },
        },
    }
