"""What is dialled, and which node is named to it."""

from __future__ import annotations

import pytest

from talos_gpu.talos.endpoint import forwarded_to, split_endpoint


@pytest.mark.parametrize(
    ("endpoint", "where"),
    [
        ("10.0.0.2", ("10.0.0.2", 50000)),
        ("10.0.0.2:6000", ("10.0.0.2", 6000)),
        ("talos.example.org:6000", ("talos.example.org", 6000)),
        ("fd00::2", ("fd00::2", 50000)),
        ("[fd00::2]", ("fd00::2", 50000)),
        ("[fd00::2]:6000", ("fd00::2", 6000)),
    ],
)
def test_endpoints_may_name_a_port_and_be_of_either_family(endpoint: str, where: tuple[str, int]) -> None:
    assert split_endpoint(endpoint) == where


@pytest.mark.parametrize(
    ("endpoint", "address", "named"),
    [
        ("10.0.0.2", "10.0.0.2", None),
        ("10.0.0.2:6000", "10.0.0.2", None),
        ("10.0.0.1:6000", "10.0.0.2", "10.0.0.2"),
        ("talos.example.org", "10.0.0.2", "10.0.0.2"),
        ("fd00::2", "fd00::2", None),
        ("[fd00::2]:6000", "fd00::2", None),
        ("fd00::1", "fd00::2", "fd00::2"),
    ],
)
def test_the_node_is_named_where_the_endpoint_is_another(endpoint: str, address: str, named: str | None) -> None:
    assert forwarded_to(endpoint, address) == named
