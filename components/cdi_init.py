"""CdiInit: the DaemonSet that installs the patched spec at every boot and keeps it there."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pulumi
import pulumi_kubernetes as k8s

from components.cdi_spec import SPEC_TARGET
from components.names import SPEC_DIGEST, SYSTEM_NAMESPACE, labels, object_name, placement
from components.ordering import waits
from talos_gpu.talos.facts import SPEC_SOURCE

APP = "nvidia-cdi-init"
INSTALLER = Path(__file__).with_name("installer")
_PAYLOAD, _STATUS = "/payload", "/run/nvidia-cdi-init"
_TOKEN = "talos-nvidia-cdi/install-token"  # noqa: S105 (an annotation)
_SCRIPT, _SPEC, _FACTS = "install.sh", "nvidia.yaml", "facts"


@dataclass(frozen=True, slots=True)
class CdiInitArgs:
    """What CdiInit needs; the outputs are CdiSpec's."""

    node: str
    image: str
    regenerate: str
    text: pulumi.Input[str]
    sha256: pulumi.Input[str]
    facts_file: pulumi.Input[str]
    install_token: pulumi.Input[str]
    flags: Sequence[str] = ()
    """More of the generator's flags, for `regenerate: boot`."""


class CdiInit(pulumi.ComponentResource):
    """A ConfigMap with installer, patched spec and facts, and the DaemonSet that runs the installer from it.

    The ConfigMap's name ends in the digest of what is in it: pods of the old revision keep the old one until the new
    ones are ready, and no pod ever sees half of each.
    """

    config_map: k8s.core.v1.ConfigMap
    daemon_set: k8s.apps.v1.DaemonSet
    installed_sha256: pulumi.Output[str]
    """Digest of the installed spec; resolves only after the installer is ready."""

    def __init__(self, name: str, args: CdiInitArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("talos-nvidia-cdi:components:CdiInit", name, None, opts)
        depends_on = waits(opts)
        scripts = {path.name: path.read_text(encoding="utf-8") for path in sorted(INSTALLER.glob("*.sh"))}
        content: dict[str, pulumi.Input[str]] = {**scripts, _SPEC: args.text, _FACTS: args.facts_file}
        digest = pulumi.Output.all(*content.values()).apply(_digest)
        base = object_name(APP, args.node)
        self.config_map = k8s.core.v1.ConfigMap(
            f"{name}-payload",
            metadata={
                "name": digest.apply(lambda value: f"{base}-{value[:8]}"),
                "namespace": SYSTEM_NAMESPACE,
                "labels": labels(APP, args.node),
                "annotations": {SPEC_DIGEST: args.sha256},
            },
            immutable=True,
            data=content,
            opts=pulumi.ResourceOptions(parent=self, depends_on=depends_on, delete_before_replace=False),
        )
        self.daemon_set = k8s.apps.v1.DaemonSet(
            f"{name}-daemon-set",
            metadata=k8s.meta.v1.ObjectMetaArgs(name=base, namespace=SYSTEM_NAMESPACE, labels=labels(APP, args.node)),
            spec=k8s.apps.v1.DaemonSetSpecArgs(**daemon_set_spec(args, self.config_map.metadata.name)),
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=[*depends_on, self.config_map],
                custom_timeouts=pulumi.CustomTimeouts(create="5m", update="5m"),
            ),
        )
        self.installed_sha256 = pulumi.Output.all(args.sha256, self.daemon_set.id).apply(lambda both: str(both[0]))
        self.register_outputs({"installed_sha256": self.installed_sha256})


def _digest(parts: Sequence[str]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(f"{len(part)}:{part}".encode())
    return digest.hexdigest()


def daemon_set_spec(args: CdiInitArgs, config_map: pulumi.Input[str | None]) -> dict[str, Any]:
    """The DaemonSet's spec."""
    environment = {
        "HOST_ROOT": "/proc/1/root",
        "SOURCE": SPEC_SOURCE,
        "TARGET": SPEC_TARGET,
        "PAYLOAD": _PAYLOAD,
        "INTERVAL": "5",
        "REGENERATE": args.regenerate,
        "STATUS": f"{_STATUS}/status",
    }
    if args.flags and args.regenerate == "boot":
        environment["GENERATE_FLAGS"] = " ".join(args.flags)
    script = f"{_PAYLOAD}/{_SCRIPT}"
    return {
        "selector": {"match_labels": labels(APP, args.node)},
        "update_strategy": {"type": "RollingUpdate"},
        "template": {
            "metadata": {
                "labels": labels(APP, args.node),
                "annotations": {SPEC_DIGEST: args.sha256, _TOKEN: args.install_token},
            },
            "spec": {
                **placement(args.node),
                "host_pid": True,
                "automount_service_account_token": False,
                "enable_service_links": False,
                "termination_grace_period_seconds": 5,
                "priority_class_name": "system-node-critical",
                "containers": [
                    {
                        "name": "installer",
                        "image": args.image,
                        "image_pull_policy": "IfNotPresent",
                        "command": ["/bin/sh", script, "run"],
                        "env": [{"name": key, "value": value} for key, value in environment.items()],
                        "security_context": {"privileged": True},
                        "termination_message_policy": "FallbackToLogsOnError",
                        "readiness_probe": {
                            "exec_": {"command": ["/bin/sh", script, "check"]},
                            "initial_delay_seconds": 1,
                            "period_seconds": 5,
                            "timeout_seconds": 5,
                            "failure_threshold": 1,
                        },
                        "resources": {
                            "requests": {"cpu": "5m", "memory": "8Mi"},
                            "limits": {"memory": "256Mi"},
                        },
                        "volume_mounts": [
                            {"name": "payload", "mount_path": _PAYLOAD, "read_only": True},
                            {"name": "status", "mount_path": _STATUS},
                        ],
                    }
                ],
                "volumes": [
                    {"name": "payload", "config_map": {"name": config_map}},
                    {"name": "status", "empty_dir": {"medium": "Memory"}},
                ],
            },
        },
    }
