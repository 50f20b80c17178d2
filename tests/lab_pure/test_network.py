"""Networks of the lab: free ones, and none that two labs share."""

from __future__ import annotations

import ipaddress
import json
import socket
import subprocess

import pytest

from lab import network
from lab.errors import LabRefused
from lab.network import Bridge, choosing, free_ports, free_subnet


def test_a_subnet_that_a_route_touches_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "_taken", lambda: iter([ipaddress.IPv4Network("10.5.100.0/24")]))
    assert str(free_subnet()) == "10.6.0.0/24"


def test_without_a_free_subnet_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "_taken", lambda: iter([ipaddress.IPv4Network("10.0.0.0/8")]))
    with pytest.raises(LabRefused, match="make down"):
        free_subnet()


def test_two_labs_have_other_bridges_and_pod_networks() -> None:
    one = Bridge.for_lab("lab", ipaddress.IPv4Network("10.5.0.0/24"))
    two = Bridge.for_lab("test", ipaddress.IPv4Network("10.6.0.0/24"))
    assert one.name != two.name
    assert len(one.name) <= 15
    assert (one.gateway, one.node_address(0)) == ("10.5.0.1", "10.5.0.2")
    assert (one.pod_cidr(0), two.pod_cidr(1)) == ("10.5.100.0/24", "10.6.101.0/24")


@pytest.mark.lab
def test_a_bridge_keeps_its_hardware_address_as_nodes_come_and_go() -> None:
    """Otherwise a restart of one node takes the API server from the others (seen: two nodes away in a rollout)."""
    port, peer = "tln-test-a", "tln-test-b"
    with choosing():
        bridge = Bridge.for_lab("test-bridge", free_subnet())
        bridge.up()
    try:
        before = address_of(bridge.name)
        ip("link", "add", port, "address", "02:00:00:00:00:01", "type", "veth", "peer", "name", peer)
        try:
            ip("link", "set", port, "master", bridge.name)
            ip("link", "set", port, "up")
            during = address_of(bridge.name)
        finally:
            ip("link", "del", port)
        assert before == during == address_of(bridge.name) == bridge.hardware_address
    finally:
        bridge.down()


def ip(*words: str) -> str:
    return subprocess.run(["ip", *words], check=True, capture_output=True, text=True).stdout


def address_of(link: str) -> str:
    return str(json.loads(ip("-json", "link", "show", link))[0]["address"])


def test_free_ports_can_be_listened_on() -> None:
    ports = free_ports(3)
    assert len(set(ports)) == 3
    for port in ports:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", port))
