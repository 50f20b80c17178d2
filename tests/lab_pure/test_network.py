"""Networks of the lab: free ones, and none that two labs share."""

from __future__ import annotations

import ipaddress
import socket

import pytest

from lab import network
from lab.errors import LabRefused
from lab.network import Bridge, free_ports, free_subnet


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


def test_free_ports_can_be_listened_on() -> None:
    ports = free_ports(3)
    assert len(set(ports)) == 3
    for port in ports:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", port))
