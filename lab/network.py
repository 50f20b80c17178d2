"""The lab's own network on the host: one bridge, a free subnet, free ports."""

from __future__ import annotations

import fcntl
import hashlib
import ipaddress
import json
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from random import SystemRandom

from lab.errors import LabRefused

_PORT_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_UNPRIVILEGED = 1024
_CANDIDATES = [ipaddress.IPv4Network(f"10.{number}.0.0/24") for number in range(5, 60)]


def _ip(*words: str) -> str:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise LabRefused(f"`ip {' '.join(words)}` failed: {done.stderr.strip()}", remedy="see the message of ip(8)")
    return done.stdout


def _taken() -> Iterator[ipaddress.IPv4Network]:
    for route in json.loads(_ip("-j", "-4", "route", "show", "table", "all")):
        destination = route["dst"]
        if destination != "default":
            yield ipaddress.IPv4Network(destination, strict=False)


def free_subnet() -> ipaddress.IPv4Network:
    """The first of our candidate /24 networks whose /16 no route of this machine touches."""
    taken = list(_taken())
    for network in _CANDIDATES:
        if not any(network.supernet(new_prefix=16).overlaps(other) for other in taken):
            return network
    raise LabRefused("no free network among 10.5.0.0/16 to 10.59.0.0/16", remedy="end another lab: make down")


@contextmanager
def choosing() -> Iterator[None]:
    """Held from looking for a free subnet until its bridge is up: two labs made at once never take the same one."""
    with Path(tempfile.gettempdir(), ".talos-nvidia-lab-network.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def free_ports(count: int) -> list[int]:
    """TCP ports that nobody listens on at this moment, on any address.

    They lie outside the range from which the kernel gives ports to whoever asks for any (ip(7), ip_local_port_range):
    nobody gets one of them by chance before the program that it is meant for listens. Where that range is everything,
    any free port.
    """
    first, last = map(int, _PORT_RANGE.read_text().split())
    candidates = [*range(max(_UNPRIVILEGED, first - 12_000), first), *range(last + 1, 1 << 16)]
    found: list[int] = []
    with ExitStack() as held:
        for port in (*SystemRandom().sample(candidates, len(candidates)), *[0] * count):
            one = held.enter_context(socket.socket())
            with suppress(OSError):  # taken: the next one
                one.bind(("", port))
                found.append(int(one.getsockname()[1]))
            if len(found) == count:
                return found
    raise LabRefused(f"no {count} free TCP ports", remedy="end another lab: make down")


@dataclass(frozen=True, slots=True)
class Bridge:
    """A bridge whose host side is the first address of `subnet`; pods are reached through their node's address."""

    name: str
    subnet: ipaddress.IPv4Network

    @classmethod
    def for_lab(cls, tag: str, subnet: ipaddress.IPv4Network) -> Bridge:
        """The bridge of the lab with this tag (interface names hold 15 characters at most)."""
        return cls("tlab-" + hashlib.sha256(tag.encode()).hexdigest()[:8], subnet)

    @property
    def gateway(self) -> str:
        """The host's address on it."""
        return str(self.subnet[1])

    @property
    def hardware_address(self) -> str:
        """Its address in Ethernet, its own: a bridge without one takes its ports' lowest.

        That changes when the node with this port restarts; every other node's way to the API server is then lost for as
        long as its kernel trusts the old address, half a minute, and the cluster calls it NotReady.
        """
        return "02:00:" + ":".join(f"{part:02x}" for part in self.subnet[1].packed)

    def node_address(self, index: int) -> str:
        """The address of node number `index`, counted from 0."""
        return str(self.subnet[2 + index])

    def pod_cidr(self, index: int) -> str:
        """The pod network of node number `index`: the /16 around the subnet is the lab's own, so labs never meet."""
        return str(ipaddress.IPv4Network((int(self.subnet.network_address) + ((100 + index) << 8), 24)))

    def exists(self) -> bool:
        """Whether the interface is there."""
        return any(link["ifname"] == self.name for link in json.loads(_ip("-j", "link", "show", "type", "bridge")))

    def up(self) -> None:
        """Make it, unless it is there."""
        if self.exists():
            return
        _ip("link", "add", self.name, "address", self.hardware_address, "type", "bridge")
        _ip("addr", "add", f"{self.gateway}/{self.subnet.prefixlen}", "dev", self.name)
        _ip("link", "set", self.name, "up")

    def down(self) -> None:
        """Remove it and, with it, its routes."""
        if self.exists():
            _ip("link", "del", self.name)
