"""A lab: its record, its network, its nodes, its cluster; brought up, looked at and taken down."""

from __future__ import annotations

import fcntl
import ipaddress
import json
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.cluster.control_plane import SERVICE_IP, ControlPlane, Ports
from lab.cluster.pki import Authority
from lab.errors import LabError, LabRefused
from lab.images import build_images
from lab.layers import base_layer, driver_layer
from lab.network import Bridge, choosing, free_ports, free_subnet
from lab.nodes import PROFILE, Node, NodeNetwork
from lab.paths import LabPaths, cache_root
from lab.system import need_root

Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Record:
    """What was chosen when the lab was made; kept until `down`."""

    subnet: str
    ports: Ports
    nodes: tuple[str, ...]
    cluster: bool

    @classmethod
    def load(cls, path: Path) -> Record | None:
        """The record at `path`, or None where there is no lab."""
        try:
            data = json.loads(path.read_text())
        except FileNotFoundError:
            return None
        return cls(data["subnet"], Ports(**data["ports"]), tuple(data["nodes"]), data["cluster"])

    def save(self, path: Path) -> None:
        """Write it, whole or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        ports = {name: getattr(self.ports, name) for name in Ports.__slots__}
        data = {"subnet": self.subnet, "ports": ports, "nodes": list(self.nodes), "cluster": self.cluster}
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps(data, indent=1))
        fresh.rename(path)


class Lab:
    """The lab called `name`, with programs from `binaries` (lab.toolchain.ensure)."""

    def __init__(self, name: str, binaries: Path) -> None:
        self.paths = LabPaths.of(name)
        self.binaries = binaries

    @property
    def record(self) -> Record | None:
        """What was chosen, or None where there is no such lab."""
        return Record.load(self.paths.record)

    def _made(self) -> Record:
        record = self.record
        if record is None:
            raise LabRefused(f"there is no lab {self.paths.name!r}", remedy="python -m lab up")
        return record

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lab against another command that changes it."""
        self.paths.root.parent.mkdir(parents=True, exist_ok=True)
        with (self.paths.root.parent / f".{self.paths.name}.lock").open("w") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise LabRefused(
                    f"another command is at work on lab {self.paths.name!r}", remedy="wait until it has ended"
                ) from None
            yield

    @property
    def bridge(self) -> Bridge:
        """The lab's network."""
        return Bridge.for_lab(self.paths.tag, ipaddress.IPv4Network(self._made().subnet))

    @property
    def cluster(self) -> ControlPlane:
        """The lab's control plane."""
        talos = self.paths.talos
        authority = Authority(talos / "k8s-ca.crt", talos / "k8s-ca.key")
        return ControlPlane(self.paths.cluster, self.binaries, self.bridge.gateway, self._made().ports, authority)

    @property
    def nodes(self) -> list[Node]:
        """The lab's nodes, in their order."""
        record, bridge = self._made(), self.bridge
        apiserver = f"{bridge.gateway}:{record.ports.apiserver}" if record.cluster else ""
        return [
            Node(
                name,
                self.paths.node(name),
                NodeNetwork(bridge, bridge.node_address(index), bridge.pod_cidr(index), apiserver),
                self.binaries / "lab-node",
                self.paths.tag,
            )
            for index, name in enumerate(record.nodes)
        ]

    def node(self, name: str | None = None) -> Node:
        """The node called `name`, or the first one."""
        for node in self.nodes:
            if name in (None, node.name):
                return node
        raise LabRefused(
            f"lab {self.paths.name!r} has no node {name!r}", remedy=f"one of: {', '.join(self._made().nodes)}"
        )

    def layers(self, driver: str) -> list[Path]:
        """A node's read-only layers for one driver version."""
        return [driver_layer(self.binaries, driver), base_layer(self.binaries)]

    def make(
        self,
        nodes: Sequence[str] = ("lab-1",),
        *,
        cluster: bool = True,
        profile: Mapping[str, Any] = PROFILE,
        configure: Callable[[str], str] = lambda base: base,
    ) -> None:
        """Choose subnet and ports, make PKI, node folders and cluster credentials. A lab that is there is kept.

        Args:
            nodes: names, in the order of their addresses.
            cluster: whether there is a control plane and a kubelet, or containerd alone.
            profile: the pretended facts of every node.
            configure: turns the base machine config into the one a node starts with.
        """
        need_root("the lab")
        if self.record is None:
            with choosing():
                Record(str(free_subnet()), Ports(*free_ports(5)), tuple(nodes), cluster).save(self.paths.record)
                self.bridge.up()
        if not (self.paths.talos / "secrets.yaml").exists():
            self._generate()
        if cluster:
            self.cluster.prepare()
        for node in self.nodes:
            base = (self.paths.talos / f"{node.name}.yaml").read_text()
            layers = self.layers(str(profile["driver"]))
            node.prepare(layers, self.paths.talos / "secrets.yaml", configure(base), profile)
            if cluster:
                self.cluster.node_credentials(node.name, node.endpoint, node.state / "kubernetes")
                node.write_kubelet_config()

    def _generate(self) -> None:
        record, bridge = self._made(), self.bridge
        self.paths.talos.mkdir(parents=True, exist_ok=True)
        addresses = [f"--node={name}={bridge.node_address(index)}" for index, name in enumerate(record.nodes)]
        endpoint = f"https://{bridge.gateway}:{record.ports.apiserver}"
        done = subprocess.run(
            [
                self.binaries / "lab-node",
                "gen",
                "--out",
                self.paths.talos,
                "--cluster",
                "lab",
                "--endpoint",
                endpoint,
                *addresses,
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise LabError(f"making the Talos secrets failed: {done.stderr.strip()}")

    def start(self, report: Report) -> None:
        """Start network, control plane and nodes, import images; returns when containerd answers on every node."""
        self.bridge.up()
        record = self._made()
        if record.cluster:
            self.cluster.start()
        for node in self.nodes:
            node.start()
        images = build_images(cache_root() / "images", cache_root() / "images")
        for node in self.nodes:
            node.wait_containerd()
            report(f"node {node.name}: containerd up ({node.endpoint})")
            for image in images:
                node.import_image(image.archive)
        if record.cluster:
            self.cluster.wait_ready()

    def down(self) -> list[str]:
        """End and delete everything of this lab; returns what was ended, one line each."""
        ended = []
        if self.record is not None:
            for node in self.nodes:
                node.stop()
                ended.append(f"node {node.name}")
            if self._made().cluster and (self.paths.talos / "k8s-ca.crt").exists():
                self.cluster.stop()
                ended.append("control plane")
            self.bridge.down()
            ended.append(f"bridge {self.bridge.name}")
        if self.paths.root.exists():
            shutil.rmtree(self.paths.root)
            ended.append(str(self.paths.root))
        (self.paths.root.parent / f".{self.paths.name}.lock").unlink(missing_ok=True)
        return ended

    @property
    def service_ip(self) -> str:
        """The API server's address inside the cluster."""
        return SERVICE_IP
