"""A lab of its own for one way to an encoding worker, and what is done to it and asked of it whichever way it was."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lab import kubectl
from lab.lab import Lab
from lab.nodes import Node
from lab.proof import encode_command
from lab.reboot import reboot_node

_FRAMES = "frame=   60"
_PATIENCE = 180


class Worksite:
    """One lab with one node."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab

    @classmethod
    @contextmanager
    def fresh(cls, name: str, binaries: Path) -> Iterator[Worksite]:
        """A bare node, Ready, in a cluster that takes pods; ended afterwards."""
        lab = Lab(name, binaries)
        with lab.locked():
            lab.down()
        try:
            lab.make()
            lab.start(lambda line: print(line, file=sys.stderr))
            kubectl.wait_node_ready(lab, [lab.node().name])
            site = cls(lab)
            site.kubectl("wait", "--for=create", "--timeout=60s", "-n", "kube-system", "serviceaccount/default")
            yield site
        finally:
            lab.down()

    @property
    def node(self) -> Node:
        """The lab's node."""
        return self.lab.node()

    @property
    def worker(self) -> str:
        """The worker as kubectl names it, in namespace media."""
        return f"deploy/tdarr-node-gpu-{self.node.name}"

    def kubectl(self, *words: str, check: bool = True, stdin: str | None = None) -> str:
        """What `kubectl WORDS` prints."""
        return kubectl.kubectl(self.lab, *words, check=check, stdin=stdin, timeout=_PATIENCE + 20)

    def apply(self, *objects: Mapping[str, Any]) -> None:
        """`kubectl apply -f -`."""
        self.kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))

    def inside(self, path: str) -> Path:
        """A file of the node, seen from here; `path` has no link to an absolute path in it."""
        return Path(f"/proc/{self.node.pid}/root{path}")

    def wait_boot(self, boot: str) -> None:
        """Return when the cluster has the node as Ready in the boot with this id."""
        node = f"node/{self.node.name}"
        limit = f"--timeout={_PATIENCE}s"
        self.kubectl("wait", f"--for=jsonpath={{.status.nodeInfo.bootID}}={boot}", node, limit)
        self.kubectl("wait", "--for=condition=Ready", node, limit)

    def reboot(self) -> None:
        """Reboot through the Talos API; returns when the node is Ready in the new boot."""
        _, boot = reboot_node(self.lab)
        self.wait_boot(boot)

    def upgrade_driver(self, version: str) -> None:
        """Boot the node with another driver, as after an upgrade of its system image; returns when it is Ready."""
        node, profile = self.node, self.node.profile()
        old = str(profile["driver"])
        extensions = [{**it, "version": it["version"].replace(old, version)} for it in profile["extensions"]]
        node.stop()
        node.write_profile({**profile, "driver": version, "extensions": extensions})
        node.set_layers(self.lab.layers(version))
        self.lab.start(lambda line: print(line, file=sys.stderr))
        self.wait_boot(self.inside("/proc/sys/kernel/random/boot_id").read_text().strip())

    def encodes(self) -> bool:
        """Whether the worker encodes now."""
        done = kubectl.run(self.lab, "exec", "-n", "media", self.worker, "--", *encode_command("hevc_nvenc"))
        return done.returncode == 0 and _FRAMES in done.stderr.replace("\r", "\n")

    def broken_for(self, seconds: float) -> float | None:
        """From now to the start of the first encode that works, in seconds; None where none does within `seconds`."""
        began = time.monotonic()
        while (started := time.monotonic()) < began + seconds:
            if self.encodes():
                return started - began
        return None

    def restart_installer(self, selector: str) -> None:
        """Delete the installer's pod; returns when another is ready."""
        label = ("-n", "kube-system", "-l", selector)
        [old] = kubectl.get(self.lab, "pods", *label)["items"]
        self.kubectl("delete", "pod", "-n", "kube-system", old["metadata"]["name"], "--grace-period=1")

        def another() -> bool:
            pods = kubectl.get(self.lab, "pods", *label)["items"]
            new = [pod for pod in pods if pod["metadata"]["uid"] != old["metadata"]["uid"]]
            return len(new) == len(pods) == 1 and kubectl.ready(new[0])

        wait_for("another installer is ready", another)


def wait_for(what: str, look: Callable[[], bool], seconds: float = _PATIENCE) -> None:
    """Return when `look` says yes; RuntimeError naming `what` after `seconds`."""
    until = time.monotonic() + seconds
    while not look():
        if time.monotonic() > until:
            raise RuntimeError(f"{what}: not within {seconds:.0f} s")
        time.sleep(0.1)
