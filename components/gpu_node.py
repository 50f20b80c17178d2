"""GpuNode: one Talos node from its machine config to the worker that encodes on its GPU."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pulumi
import pulumi_kubernetes as k8s
import pulumiverse_talos as talos

from components.access import Target
from components.adoption import Retired, TakenOver
from components.cdi_generator import CdiGenerator, CdiGeneratorArgs
from components.cdi_init import CdiInit, CdiInitArgs
from components.cdi_source import CdiSource
from components.cdi_spec import CdiSpec
from components.machine import GpuMachine, GpuMachineArgs
from components.names import WORKER, labels, object_name
from components.runtime_class import GpuRuntimeClass, GpuRuntimeClassArgs
from components.tdarr import TdarrNode, TdarrNodeArgs, deployment_spec
from components.verification import commands
from components.verified import Verified
from components.worker_restart import WorkerRestart, template
from talos_gpu.settings import Settings, Tdarr
from talos_gpu.talos.credentials import Credentials


@dataclass(frozen=True, slots=True)
class GpuNodeArgs:
    """What GpuNode needs."""

    settings: Settings
    credentials: Credentials
    machine_config: str = field(repr=False)
    """The whole machine config, rendered."""


class GpuNode(pulumi.ComponentResource):
    """The node's chain, each step after the one before, by data and by depends_on.

    MachineState -> ConfigurationApply -> MachineReady -> CdiSource -> Job -> CdiSpec -> ConfigMap -> DaemonSet ->
    WorkerRestart -> Tdarr -> Verified (where the stack says `verify`) -> MachineRestarted (which restarts the node only
    where the method changed).
    Methods other than `spec` leave out what makes and installs a spec.
    """

    machine: GpuMachine
    spec: CdiSpec | None
    """None unless the method is `spec`."""
    tdarr: TdarrNode | None
    outputs: Mapping[str, Any]
    """The stack's outputs."""

    def __init__(self, name: str, args: GpuNodeArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("talos-nvidia-cdi:components:GpuNode", name, None, opts)
        settings = args.settings
        self._name, self._settings = name, settings
        self._target = Target.of(settings.node.name, settings.node.address, settings.node.endpoint)
        self._kubernetes, self._shared, talos_provider = self._clients()
        self.machine = GpuMachine(
            f"{name}-machine",
            GpuMachineArgs(
                target=self._target,
                release=settings.node.release,
                method=settings.cdi.method,
                default_runtime=settings.cdi.runtime == "default",
                config=args.machine_config,
                credentials=args.credentials,
                machine=settings.machine,
                talos=settings.node.talos,
                images=settings.images,
                adopts=self._worker_name(settings.tdarr) if settings.adopt and settings.tdarr is not None else "",
            ),
            pulumi.ResourceOptions(parent=self, providers=[talos_provider]),
        )
        self.spec, installed, digest = None, list[pulumi.Resource]([self.machine.ready]), None
        if settings.cdi.method == "spec":
            self.spec, init = self._spec()
            installed, digest = [init.daemon_set], init.installed_sha256
        self.tdarr = self._tdarr(installed, digest)
        self.verified = self._verified(digest)
        worker = [self.tdarr.deployment] if self.tdarr is not None else []
        self.restarted = self.machine.restarted([*worker, *([self.verified] if self.verified is not None else [])])
        self.outputs = self._outputs()
        self.register_outputs(dict(self.outputs))

    def _clients(self) -> tuple[k8s.Provider, k8s.Provider, talos.Provider]:
        # The path, never the content: no credential comes into the state. The identifier keeps another path to the
        # same cluster (another checkout, a rotated file) from replacing every object.
        kubeconfig = self._settings.kubeconfig or None
        identifier = f"cluster-of-{self._settings.node.name}"
        own = k8s.Provider(
            f"{self._name}-kubernetes",
            kubeconfig=kubeconfig,
            cluster_identifier=identifier,
            upsert_existing_objects=self._settings.adopt or None,
            opts=pulumi.ResourceOptions(parent=self),
        )
        shared = k8s.Provider(
            f"{self._name}-kubernetes-shared",
            kubeconfig=kubeconfig,
            cluster_identifier=identifier,
            upsert_existing_objects=True,
            opts=pulumi.ResourceOptions(parent=self),
        )
        return own, shared, talos.Provider(f"{self._name}-talos", opts=pulumi.ResourceOptions(parent=self))

    def _spec(self) -> tuple[CdiSpec, CdiInit]:
        cdi, ready = self._settings.cdi, self.machine.ready
        about = {
            "node": self._target.name,
            "address": self._target.address,
            "endpoint": self._target.endpoint,
            "release": self._settings.node.release,
            "hook": cdi.hook,
        }
        source = CdiSource(
            f"{self._name}-cdi-source",
            {**about, "machine_token": ready.token, "reboot_pending": ready.reboot_pending},
            pulumi.ResourceOptions(parent=self, depends_on=[ready]),
        )
        generator = CdiGenerator(
            f"{self._name}-cdi-generator",
            CdiGeneratorArgs(
                node=self._target.name,
                image=cdi.image,
                hook=cdi.hook,
                deadline_s=cdi.generator_deadline_s,
                token=source.token,
                driver=source.driver,
                toolkit=source.toolkit,
                flags=cdi.generator_flags,
            ),
            pulumi.ResourceOptions(parent=self, providers=[self._kubernetes], depends_on=[source]),
        )
        spec = CdiSpec(
            f"{self._name}-cdi-spec",
            {
                **about,
                "token": source.token,
                "driver": source.driver,
                "generation": generator.generation,
                "regenerate": cdi.regenerate,
            },
            pulumi.ResourceOptions(parent=self, depends_on=[source, generator.job]),
        )
        init = CdiInit(
            f"{self._name}-cdi-init",
            CdiInitArgs(
                node=self._target.name,
                image=cdi.image,
                regenerate=cdi.regenerate,
                text=spec.text,
                sha256=spec.sha256,
                facts_file=spec.facts_file,
                install_token=spec.install_token,
                flags=cdi.generator_flags,
            ),
            pulumi.ResourceOptions(parent=self, providers=[self._kubernetes], depends_on=[spec]),
        )
        if self._settings.adopt:
            # after ours is ready: two writers never share the file
            Retired(
                f"{self._name}-retired",
                {"node": self._target.name},
                pulumi.ResourceOptions(parent=self, depends_on=[init.daemon_set]),
            )
        return spec, init

    def _tdarr(self, after: Sequence[pulumi.Resource], digest: pulumi.Output[str] | None) -> TdarrNode | None:
        cdi = self._settings.cdi
        runtime_class: pulumi.Input[str] | None = None
        if cdi.runtime == "runtime-class":
            runtime_class = cdi.runtime_class_name
            if cdi.runtime_class_owner:
                runtime_class = GpuRuntimeClass(
                    f"{self._name}-runtime-class",
                    GpuRuntimeClassArgs(cdi.runtime_class_name, cdi.handler, self._shared),
                    pulumi.ResourceOptions(parent=self),
                ).name
        if self._settings.tdarr is None:
            return None
        if self._settings.adopt:
            after = [*after, self._taken_over(self._settings.tdarr, after)]
        args = TdarrNodeArgs(
            node=self._target.name,
            tdarr=self._settings.tdarr,
            visible_devices=cdi.visible_devices,
            runtime_class=runtime_class,
            spec_sha256=digest,
            shared=self._shared,
            adopt=self._settings.adopt,
        )
        after = [*after, self._worker_restart(args, after, digest)]
        return TdarrNode(
            f"{self._name}-tdarr",
            args,
            pulumi.ResourceOptions(parent=self, providers=[self._kubernetes], depends_on=list(after)),
        )

    def _worker_restart(
        self, args: TdarrNodeArgs, after: Sequence[pulumi.Resource], digest: pulumi.Output[str] | None
    ) -> WorkerRestart:
        cdi, before = self._settings.cdi, self._settings.machine.before_restart
        runtime_class = cdi.runtime_class_name if cdi.runtime == "runtime-class" else None
        about = {
            "node": args.node,
            "template": template(deployment_spec(args, ""), runtime_class),
            "spec_sha256": digest if digest is not None else "",
            "before_restart": {**before.model_dump(), "images": []},
        }
        options = pulumi.ResourceOptions(parent=self, depends_on=list(after))
        return WorkerRestart(f"{self._name}-worker-restart", about, options)

    def _verified(self, digest: pulumi.Output[str] | None) -> Verified | None:
        if not self._settings.verify or self.tdarr is None:
            return None
        deployment = self.tdarr.deployment
        when = {
            "spec_sha256": digest,
            "worker": deployment.metadata.apply(lambda found: f"{found.uid} {found.generation}"),
            "loaded_driver": self.machine.facts.apply(lambda facts: facts.get("driver", "")),
        }
        options = pulumi.ResourceOptions(parent=self, depends_on=[deployment])
        return Verified(f"{self._name}-verified", self._settings, when, options)

    def _worker_name(self, tdarr: Tdarr) -> str:
        """NAMESPACE/NAME of the worker's Deployment."""
        return f"{tdarr.namespace.name}/{tdarr.name or object_name(WORKER, self._target.name)}"

    def _taken_over(self, tdarr: Tdarr, after: Sequence[pulumi.Resource]) -> TakenOver:
        node = self._target.name
        namespace, _, name = self._worker_name(tdarr).partition("/")
        about = {
            "node": node,
            "namespace": namespace,
            "name": name,
            "selector": labels(WORKER, node),
        }
        return TakenOver(f"{self._name}-taken-over", about, pulumi.ResourceOptions(parent=self, depends_on=list(after)))

    def _outputs(self) -> dict[str, Any]:
        gpu = self._settings.node.gpu
        worker = f"{self.tdarr.namespace}/{self.tdarr.name}" if self.tdarr is not None else None
        found: dict[str, Any] = {
            "node": self._target.name,
            "gpu": {"model": gpu.model, "memory_mib": gpu.memory_mib},
            "facts": self.machine.facts,
            "boot_id": self.restarted.boot_id,
            "reboot_pending": self.restarted.reboot_pending,
            "driver": self.machine.facts.apply(lambda facts: facts.get("driver", "")),
            "verify": commands(self._settings, worker),
        }
        if self.spec is not None:
            found |= {
                "driver": self.spec.driver_version,
                "devices": self.spec.devices,
                "hooks": self.spec.hooks,
                "spec_sha256": self.spec.sha256,
            }
        if self.verified is not None:
            found["verified"] = self.verified.proofs
        return found
