"""The write-up's steps as a person takes them who has it open: to an encoding worker, and back after an upgrade.

A step that fails is looked into and repaired as its own messages suggest. The Talos API is called by this project's
client in talosctl's place, kubectl is kubectl.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from bench import seed_objects as seed
from bench.cri_device import CRI_POD, cri_pod, start_device_plugin, why_not
from bench.steps import WAIT_FOR_A_FINISHED_POD, Act, Person
from bench.worksite import Worksite, wait_for
from lab import kubectl
from talos_gpu.talos.client import MachineClient
from talos_gpu.talos.credentials import TalosConfig
from talos_gpu.talos.errors import ApiError, NotFound

_WAIT = (*WAIT_FOR_A_FINISHED_POD.split()[1:], "-n", "kube-system", "--timeout=60s")
_IN_SYSTEM = ("-n", "kube-system")


class ByHand:
    """The person, the node, and the files that lie in the person's repository."""

    def __init__(self, site: Worksite) -> None:
        self.person = Person()
        self._site = site
        self._node = site.node.name
        self._generator = seed.generator(self._node)
        self._base = (site.lab.paths.talos / f"{self._node}.yaml").read_text()

    def reach_an_encode(self) -> None:
        """Steps 1 to 3 of the write-up, the worker, and its own encode test."""
        self.person.edits("machine config: modules, udev rules, label, three files")
        self._apply_config(seed.SPEC_DIRS)
        self._generate()
        self.person.edits("nvidia-cdi-init.yaml")
        self._command("kubectl apply -f nvidia-cdi-init.yaml", lambda: self._site.apply(seed.installer()))
        self._installed()
        self.person.edits("the worker's manifest")
        self._command("kubectl apply -f the worker", lambda: self._site.apply(*seed.worker(self._node)))
        self._works()

    def mend_after_an_upgrade(self) -> None:
        """The driver's version is in every path of the spec: generate it anew, install it, restart the worker."""
        self.person.looks("kubectl describe pod: a library of the old driver is missing")
        self._generate()
        restart = (*_IN_SYSTEM, f"ds/{seed.INSTALLER}")
        self._kubectl("rollout", "restart", *restart)
        self._kubectl("rollout", "status", *restart)
        self._installed()
        self._kubectl("rollout", "restart", "-n", "media", self._site.worker)
        self._works()

    def mend_the_folders(self) -> str:
        """A pod that asks by a CRI device takes containerd's own path: returns why it fails before it is mended."""
        start_device_plugin(self._site)
        with self.person.repairing():
            self._command("kubectl apply -f a pod with nvidia.com/gpu", lambda: self._site.apply(cri_pod(self._node)))
            with self.person.does(Act.LOOK, "kubectl describe pod: why it does not start"):
                reason = why_not(self._site)
            if reason:
                self._kubectl("delete", "pod", "-n", "default", CRI_POD)
                self.person.edits("machine config: /var/cdi is no longer the last folder")
                self._apply_config(("/etc/cdi", "/var/cdi", "/var/run/cdi"))
                start_device_plugin(self._site)
                apply = "kubectl apply -f the pod again"
                self._command(apply, lambda: self._site.apply(cri_pod(self._node)))
                if again := why_not(self._site):
                    raise RuntimeError(f"the pod with a CRI device still does not run: {again}")
        return reason

    def _apply_config(self, folders: tuple[str, ...]) -> None:
        text = seed.machine_config(self._base, folders)
        before = self.read("/proc/sys/kernel/random/boot_id")

        async def apply() -> None:
            credentials = TalosConfig.load(self._site.lab.paths.talosconfig)
            async with MachineClient(credentials, self._site.node.endpoint) as client:
                await client.apply_configuration(text)

        self._command("talosctl apply-config", lambda: asyncio.run(apply()))
        with self.person.does(Act.COMMAND, "kubectl get node, until it is Ready again"):
            self._site.wait_boot(self._other_boot(before))

    def _other_boot(self, before: str) -> str:
        seen = before

        def booted() -> bool:
            nonlocal seen
            try:
                seen = self.read("/proc/sys/kernel/random/boot_id")
            except ApiError:  # it is between two boots
                return False
            return seen != before

        wait_for("the node reboots", booted)
        return seen.strip()

    def _generate(self) -> None:
        """Step 2, again with the shell left out where its log says that the host has none."""
        log, spec = self._generate_once()
        if spec:
            return
        if "failed to execute sh" not in log:
            raise RuntimeError(f"no spec, and the generator said: {log}")
        with self.person.repairing():
            self.person.edits("the generator: no shell on the host, nvidia-ctk itself")
            self._generator = seed.generator(self._node, shell_on_host=False)
            log, spec = self._generate_once()
        if not spec:
            raise RuntimeError(f"still no spec: {log}")

    def _generate_once(self) -> tuple[str, str]:
        self._command("kubectl apply -f - (the generator)", lambda: self._site.apply(self._generator))
        with self.person.does(Act.COMMAND, WAIT_FOR_A_FINISHED_POD):
            self._site.kubectl(*_WAIT, check=False)
            wait_for("the generator ends", self._ended)  # it is told to be ready as soon as it runs
        log = self._kubectl("logs", *_IN_SYSTEM, seed.GENERATOR)
        self._kubectl("delete", "pod", *_IN_SYSTEM, seed.GENERATOR)
        with self.person.does(Act.LOOK, f"talosctl read {seed.SOURCE}"):
            spec = self._read_or_nothing(seed.SOURCE)
        return log, spec

    def _ended(self) -> bool:
        pod = kubectl.get(self._site.lab, "pod", *_IN_SYSTEM, seed.GENERATOR)
        return pod["status"].get("phase") in ("Succeeded", "Failed")

    def _installed(self) -> None:
        selector = ("-l", f"app={seed.INSTALLER}")

        def up() -> bool:
            pods = kubectl.get(self._site.lab, "pods", *_IN_SYSTEM, *selector)["items"]
            return len(pods) == 1 and kubectl.ready(pods[0])

        with self.person.does(Act.COMMAND, f"kubectl get pods {' '.join(selector)}"):
            wait_for("the DaemonSet's pod is ready", up)
        self._kubectl("logs", *_IN_SYSTEM, *selector, "-c", "copy-cdi-spec")
        with self.person.does(Act.LOOK, f"talosctl read {seed.TARGET}: do the hooks end in .real?"):
            spec = self.read(seed.TARGET)
        if f"path: {seed.REAL_HOOK}" not in spec:
            raise RuntimeError(f"the DaemonSet has not patched {seed.TARGET}")

    def _works(self) -> None:
        self._kubectl("rollout", "status", "-n", "media", self._site.worker, "--timeout=120s")
        smi = ("nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv")
        with self.person.does(Act.COMMAND, "kubectl exec: nvidia-smi and ffmpeg"):
            self._site.kubectl("exec", "-n", "media", self._site.worker, "--", *smi)
            if not self._site.encodes():
                raise RuntimeError("the worker does not encode")

    def _command(self, what: str, work: Callable[[], None]) -> None:
        with self.person.does(Act.COMMAND, what):
            work()

    def _kubectl(self, *words: str) -> str:
        with self.person.does(Act.COMMAND, f"kubectl {' '.join(words)}"):
            return self._site.kubectl(*words)

    def _read_or_nothing(self, path: str) -> str:
        try:
            return self.read(path)
        except NotFound:
            return ""

    def read(self, path: str) -> str:
        """`talosctl read`."""

        async def read() -> bytes:
            credentials = TalosConfig.load(self._site.lab.paths.talosconfig)
            async with MachineClient(credentials, self._site.node.endpoint) as client:
                return await client.read(path)

        return asyncio.run(read()).decode()
