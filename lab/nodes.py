"""One node of the lab from the host's side: its folders, its start and end, commands inside it."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from lab import kubelet
from lab.errors import NodeFailed
from lab.gpu.control import configure, libraries
from lab.images.oci import name_and_digest
from lab.layers import GLIBC
from lab.network import Bridge
from lab.process import Daemon

DRIVER = "535.247.01"
TALOS_API_PORT = 50000

PROFILE: Mapping[str, Any] = {
    "talos": "v1.11.1",
    "kernel": "6.12.45-talos",
    "driver": DRIVER,
    "toolkit": "1.17.8",
    "gpu": {
        "model": "Quadro P2000",
        "uuid": "GPU-3b1f2c4d-5e6f-7a8b-9c0d-1e2f3a4b5c6d",
        "pci": "0000:01:00.0",
        "memory_mib": 5120,
    },
    "extensions": [
        {"name": "nonfree-kmod-nvidia-lts", "version": f"{DRIVER}-v1.11.1"},
        {"name": "nvidia-container-toolkit-lts", "version": f"{DRIVER}-v1.17.8"},
    ],
    "majors": {"nvidia-frontend": 195, "nvidia-uvm": 511, "drm": 226},
    "sysctls": {"net.core.bpf_jit_harden": 2, "kernel.kptr_restrict": 2},
    "boot_delay_s": 0,
    "boot_id": "",
    "cdi_service": False,
    "certificate_expired": False,
}
"""The pretended facts of the seed's node (Talos v1.11.1, driver 535.247.01, Quadro P2000)."""


@dataclass(frozen=True, slots=True)
class NodeNetwork:
    """Where a node sits: its address on the bridge, its pods' network, the API server it talks to."""

    bridge: Bridge
    address: str
    pod_cidr: str
    apiserver: str
    """`address:port`, empty without a cluster."""


class Node:
    """A node called `name` whose everything lies in `folder`."""

    def __init__(self, name: str, folder: Path, network: NodeNetwork, program: Path, lab: str) -> None:
        self.name, self.folder, self.network = name, folder, network
        self._program, self._lab = program, lab
        self.daemon = Daemon(folder / "run", "supervisor")

    @property
    def endpoint(self) -> str:
        """Address of the Talos API, without the port (50000)."""
        return self.network.address

    @property
    def profile_path(self) -> Path:
        """The pretended facts; read at every boot."""
        return self.folder / "profile.json"

    @property
    def state(self) -> Path:
        """The node's persistent disks: `var` (EPHEMERAL) and `state` (STATE)."""
        return self.folder / "disks"

    @property
    def images(self) -> Path:
        """The archives of the images that it has."""
        return self.state / "var" / "lib" / "images"

    @property
    def pid(self) -> int | None:
        """Pid 1 of the node as the host sees it; None while it is down."""
        try:
            return int((self.folder / "run" / "pid").read_text())
        except (FileNotFoundError, ValueError):
            return None

    def prepare(self, layers: Sequence[Path], secrets: Path, base_config: str, profile: Mapping[str, Any]) -> None:
        """Lay out the node's folders and its spec; an existing disk, config and profile are kept."""
        for part in ("var", "state", "kubernetes"):
            (self.state / part).mkdir(parents=True, exist_ok=True)
        (self.folder / "run").mkdir(exist_ok=True)
        config = self.state / "state" / "config.yaml"
        if not config.exists():
            config.touch(mode=0o600)
            config.write_text(base_config)
        if not self.profile_path.exists():
            self.write_profile(profile)
        own = self.folder / "layer"
        self._own_layer(own)
        spec = {
            "name": self.name,
            "address": self.network.address,
            "prefix_len": self.network.bridge.subnet.prefixlen,
            "gateway": self.network.bridge.gateway,
            "bridge": self.network.bridge.name,
            "pod_cidr": self.network.pod_cidr,
            "layers": [str(layer) for layer in (own, *self._gpu_layer(layers), *layers)],
            "state_dir": str(self.state),
            "run_dir": str(self.folder / "run"),
            "profile": str(self.profile_path),
            "secrets": str(secrets),
            "apiserver": self.network.apiserver,
            "service_ip": "10.96.0.1",
            "cgroup": f"talos-lab-{self._lab}-{self.name}",
        }
        (self.folder / "node.json").write_text(json.dumps(spec, indent=1))

    def _own_layer(self, layer: Path) -> None:
        network = layer / "etc/cni/net.d"
        network.mkdir(parents=True, exist_ok=True)
        bridge = {
            "type": "bridge",
            "bridge": "cni0",
            "isGateway": True,
            "ipMasq": False,
            "ipam": {
                "type": "host-local",
                "ranges": [[{"subnet": self.network.pod_cidr}]],
                "routes": [{"dst": "0.0.0.0/0"}],
            },
        }
        portmap = {"type": "portmap", "capabilities": {"portMappings": True}, "snat": False}
        plugins = {"cniVersion": "1.0.0", "name": "lab", "plugins": [bridge, portmap]}
        (network / "10-bridge.conflist").write_text(json.dumps(plugins))

    def write_profile(self, profile: Mapping[str, Any]) -> None:
        """Set the pretended facts; they hold from the next boot on."""
        fresh = self.profile_path.with_suffix(".new")
        fresh.write_text(json.dumps(profile, indent=1))
        fresh.rename(self.profile_path)

    def profile(self) -> dict[str, Any]:
        """The pretended facts as they are set."""
        facts: dict[str, Any] = json.loads(self.profile_path.read_text())
        return facts

    def set_faults(self, **faults: float | list[str] | dict[str, int]) -> None:
        """Break the machine API from the next call on (lab/node/internal/api/faults.go); without any: mend it."""
        path = self.state / "state" / "faults.json"
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps(faults))
        fresh.rename(path)

    def set_layers(self, layers: Sequence[Path]) -> None:
        """Use other layers (an upgraded driver) from the next start on."""
        path = self.folder / "node.json"
        spec = json.loads(path.read_text())
        spec["layers"] = [str(layer) for layer in (self.folder / "layer", *self._gpu_layer(layers), *layers)]
        path.write_text(json.dumps(spec, indent=1))

    def _gpu_layer(self, layers: Sequence[Path]) -> list[Path]:
        """The node's own copy of those of the layers' libraries that read settings: its GPU fails alone."""
        found = next((layer for layer in layers if (layer / GLIBC).is_dir()), None)
        if found is None:
            return []
        own = self.folder / "gpu" / found.name
        if not own.exists():
            fresh = own.with_suffix(".new")
            shutil.rmtree(fresh, ignore_errors=True)
            (fresh / GLIBC).mkdir(parents=True)
            for path in libraries(found / GLIBC):
                shutil.copy2(path, fresh / GLIBC)
            fresh.rename(own)
        return [own]

    def pretend(self, **settings: str | int) -> None:
        """Put settings of the mock GPU (lab.gpu.control.SETTINGS) in force on this node alone, at once; none: healthy.

        Raises SettingUnknown.
        """
        layers = map(Path, json.loads((self.folder / "node.json").read_text())["layers"])
        [own] = [layer for layer in layers if layer.parent == self.folder / "gpu"]
        configure(own / GLIBC, {key: str(value) for key, value in settings.items()})

    def hide(self, path: str) -> None:
        """Take a file of the read-only root away (an overlay whiteout), from the next start on."""
        whiteout = self.folder / "layer" / path.lstrip("/")
        whiteout.parent.mkdir(parents=True, exist_ok=True)
        os.mknod(whiteout, stat.S_IFCHR, os.makedev(0, 0))

    def unhide(self, path: str) -> None:
        """Give a hidden file back, from the next start on."""
        (self.folder / "layer" / path.lstrip("/")).unlink(missing_ok=True)

    def write_kubelet_config(self) -> None:
        """The kubelet's configuration; without it the node runs containerd alone."""
        (self.state / "kubernetes" / "kubelet.yaml").write_text(yaml.safe_dump(dict(kubelet.CONFIGURATION)))

    def start(self) -> None:
        """Start it unless it runs; does not wait."""
        if self.daemon.pid is None:
            (self.folder / "run" / "pid").unlink(missing_ok=True)
        self.daemon.start([self._program, "run", "--spec", self.folder / "node.json"])

    def stop(self) -> None:
        """End it with everything in it; its disks stay."""
        self.daemon.stop(grace=45.0)  # it gives its cgroups 30 s to empty (lab/node/internal/host/cgroups.go)
        spec = self.folder / "node.json"
        if spec.exists() and self._program.exists():  # a killed supervisor has left its cgroups, veth and route
            done = subprocess.run(
                [self._program, "clean", "--spec", spec], capture_output=True, text=True, check=False, timeout=120
            )
            if done.returncode:
                raise NodeFailed(
                    f"node {self.name} has left something: {done.stderr.strip()}", remedy="run it again: it is busy"
                )

    def forget(self) -> None:
        """Delete its folder (stop it first)."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def command(self, *words: str) -> list[str]:
        """A host command line that runs `words` inside the node (its namespaces, root and PATH)."""
        pid = self.pid
        if pid is None:
            raise NodeFailed(f"node {self.name} is down", remedy="python -m lab up")
        inside = ["PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root"]
        return ["env", "-i", *inside, "nsenter", "-t", str(pid), "-a", "--", *words]

    def run(self, *words: str, check: bool = True, timeout: float = 60.0) -> subprocess.CompletedProcess[str]:
        """Run a command inside the node and return what it said."""
        done = subprocess.run(self.command(*words), capture_output=True, text=True, check=False, timeout=timeout)
        if check and done.returncode:
            raise NodeFailed(f"`{' '.join(words)}` in {self.name} ended with {done.returncode}: {done.stderr.strip()}")
        return done

    def wait_containerd(self, deadline: float = 30.0) -> None:
        """Return when containerd answers inside the node."""
        until, seen = time.monotonic() + deadline, "the node is not up"
        while time.monotonic() < until:
            if self.daemon.pid is None:
                raise NodeFailed(f"node {self.name} ended:\n{self.daemon.tail()}", remedy=f"see {self.daemon.log}")
            if self.pid is not None:
                done = self.run("/bin/ctr", "version", check=False)
                if done.returncode == 0:
                    return
                seen = done.stderr.strip()
            time.sleep(0.05)
        raise NodeFailed(
            f"containerd of {self.name} did not answer within {deadline:.0f} s: {seen}\n{self.daemon.tail()}",
            remedy=f"see {self.daemon.log} and {self.state}/var/log",
        )

    def import_image(self, archive: Path) -> None:
        """Import an OCI archive into containerd's k8s.io namespace, unless this very archive was imported before.

        It is known there by its tag and by its digest.
        """
        store = self.images
        store.mkdir(parents=True, exist_ok=True)
        inside = store / archive.name
        if inside.exists() and inside.samefile(archive):
            return
        scratch = inside.with_suffix(".importing")
        scratch.unlink(missing_ok=True)
        try:
            os.link(archive, scratch)
        except OSError:
            shutil.copy2(archive, scratch)
        images = ("/bin/ctr", "-n", "k8s.io", "images")
        self.run(*images, "import", f"/var/lib/images/{scratch.name}", timeout=120)
        name, digest = name_and_digest(scratch)
        self.run(*images, "tag", "--force", name, f"{name.rpartition(':')[0]}@{digest}")
        scratch.rename(inside)
