"""Fixtures that start real parts: the toolchain's programs, a node with containerd, the whole lab."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
import yaml

from lab import toolchain
from lab.cluster.control_plane import etcd_program
from lab.lab import Lab
from lab.paths import cache_root, compiling_once, lab_home

# how fast a machine is, is no fault of the code: speed is measured in bench/
hypothesis.settings.register_profile(
    "any-machine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("any-machine")

SPEC_FOLDERS = ("/etc/cdi", "/var/run/cdi", "/var/cdi")
"""The seed's `cdi_spec_dirs`: the last one, which NVIDIA's runtime never looks at, wins for the CRI."""
_PART = f"""\
[plugins."io.containerd.cri.v1.runtime"]
  cdi_spec_dirs = {list(SPEC_FOLDERS)}
"""


def pytest_configure() -> None:
    """Programs that tests start are compiled once; each worker of a parallel run has labs of its own."""
    given = compiling_once(os.environ)
    os.environ.clear()
    os.environ.update(given)
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    if worker is not None:
        os.environ["TALOS_LAB_HOME"] = str(lab_home() / worker)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Without root the lab cannot run: say so once per test, counted as skipped with the reason."""
    if os.geteuid() == 0:
        return
    for item in items:
        if item.get_closest_marker("lab") or item.get_closest_marker("containerd"):
            item.add_marker(pytest.mark.skip(reason="the lab needs root (namespaces, mounts, cgroups)"))


@pytest.fixture(scope="session")
def binaries() -> Path:
    """The folder with every program of the toolchain (`python -m lab prepare` built them)."""
    return toolchain.ensure()


@pytest.fixture(scope="session")
def etcd() -> Path:
    """The etcd program."""
    return etcd_program()


@pytest.fixture(scope="session")
def containerd_lab(binaries: Path) -> Iterator[Lab]:
    """A node with containerd alone, no cluster; ended after the session."""
    lab = Lab("test-containerd", binaries)
    lab.down()
    lab.make(["lab-1"], cluster=False, configure=_configured)
    try:
        lab.start(print)
        yield lab
    finally:
        lab.down()


def _configured(base: str) -> str:
    config = yaml.safe_load(base)
    config["machine"]["kernel"] = {
        "modules": [{"name": name} for name in ("nvidia", "nvidia_uvm", "nvidia_drm", "nvidia_modeset")]
    }
    config["machine"]["files"] = [
        {"path": "/etc/cri/conf.d/20-customization.part", "op": "create", "permissions": 0o644, "content": _PART}
    ]
    text: str = yaml.safe_dump(config)
    return text


@pytest.fixture(scope="session")
def fixtures() -> Path:
    """Specs of real hardware and other recorded input."""
    return Path(__file__).parent / "fixtures"


@pytest.fixture(scope="session")
def image_cache() -> Path:
    """Where built images are kept between runs."""
    return cache_root() / "images"


@pytest.fixture(autouse=True)
def tracebacks() -> Iterator[None]:
    """A dynamic provider shortens the tracebacks of its process (components/dynamic.py): this one is the tests' own."""
    before = getattr(sys, "tracebacklimit", None)
    yield
    if before is None:
        vars(sys).pop("tracebacklimit", None)
    else:
        sys.tracebacklimit = before
