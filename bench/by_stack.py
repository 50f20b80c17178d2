"""The same node by this project: one stack file, one `pulumi up`, the same encode test."""

from __future__ import annotations

from bench.cri_device import cri_pod, start_device_plugin, why_not
from bench.steps import Act, Person
from bench.worksite import Worksite
from lab.stack import Stack


class ByStack:
    """The person, the node, and the stack's file."""

    def __init__(self, site: Worksite) -> None:
        self.person = Person()
        self._site = site
        self._stack = Stack(site.lab, site.node)

    def reach_an_encode(self) -> None:
        """Stack file, `pulumi up` with its preview as it is typed by a person, and the encode test."""
        self.person.edits("the stack's file")
        with self.person.does(Act.COMMAND, "pulumi stack init"):
            self._stack.init()
        self._up()
        self._works()

    def mend_after_an_upgrade(self) -> None:
        """What the installer refused is generated anew."""
        self._up("--refresh")
        self._works()

    def regenerate_at_boot(self) -> None:
        """Let the installer make the spec anew by itself from now on."""
        self.person.edits("the stack's file: cdi.regenerate")
        self._stack.write_config({"cdi": {"regenerate": "boot"}})
        self._up("--refresh")

    def ask_by_cri_device(self) -> str:
        """A pod that asks by a CRI device: returns why it does not run; empty where it does."""
        start_device_plugin(self._site)
        self._site.apply(cri_pod(self._site.node.name))
        return why_not(self._site)

    def _up(self, *flags: str) -> None:
        with self.person.does(Act.COMMAND, " ".join(("pulumi up", *flags))):
            self._stack.operation("up", *flags)

    def _works(self) -> None:
        smi = ("nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv")
        with self.person.does(Act.COMMAND, "kubectl exec: nvidia-smi and ffmpeg"):
            self._site.kubectl("exec", "-n", "media", self._site.worker, "--", *smi)
            if not self._site.encodes():
                raise RuntimeError("the worker does not encode")
