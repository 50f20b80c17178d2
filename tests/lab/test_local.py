"""`talos-gpu doctor --local` on a machine that has containerd and the NVIDIA toolkit, neither Kubernetes nor a stack.

The machine is the containerd tier's node: the program runs with the node's root as its own. Its Talos API is not asked.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lab.lab import Lab
from lab.nodes import Node
from lab.paths import PROJECT

pytestmark = pytest.mark.containerd

INSTALLED, OTHER = "/run/cdi/nvidia.yaml", "/run/cdi/other.yaml"
NOT_HERE = {"module-not-loaded", "device-node-missing", "gpu-lost"}
"""What cannot be told where the kernel has no list of modules and no program shows its log."""
_PROGRAM = """
import contextlib, io, os, sys
from talos_gpu.cli.doctor import app
with contextlib.redirect_stdout(io.StringIO()):
    app(["--local"], standalone_mode=False)  # here, so that whatever is imported late is there in the other root
os.chroot(sys.argv[1])
os.chdir("/")
app(["--local", "--json"])
"""


def inside(node: Node, path: str) -> Path:
    """A path of the machine's, seen from here."""
    return Path(f"/proc/{node.pid}/root{path}")


@pytest.fixture
def machine(containerd_lab: Lab) -> Iterator[Node]:
    """The machine with the spec that its own toolkit has generated, good as it is."""
    node = containerd_lab.node()
    inside(node, INSTALLED).parent.mkdir(parents=True, exist_ok=True)
    words = ("cdi", "generate", f"--output={INSTALLED}", "--nvidia-cdi-hook-path=/usr/local/bin/nvidia-ctk")
    node.run("/usr/local/bin/nvidia-ctk", *words)
    yield node
    for path in (INSTALLED, OTHER):
        inside(node, path).unlink(missing_ok=True)


def examined(node: Node) -> tuple[int, set[str], dict[str, str]]:
    """Exit code, checks that could not run, remedies by root."""
    words = [sys.executable, "-c", _PROGRAM, str(inside(node, "/"))]
    done = subprocess.run(words, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    said = json.loads(done.stdout)
    roots = {one["check"]: one["remedy"] for one in said["findings"] if not one["explained_by"]}
    return done.returncode, {one["check"] for one in said["could_not_be_told"]}, roots


def test_a_good_machine_has_no_finding(machine: Node) -> None:
    code, not_run, roots = examined(machine)
    assert (code, roots) == (0, {})
    assert not_run <= NOT_HERE


def edited(node: Node, old: str, new: str) -> None:
    spec = inside(node, INSTALLED)
    assert old in spec.read_text()
    spec.write_text(spec.read_text().replace(old, new))


def wrapped(node: Node) -> None:
    node.run("/usr/local/bin/nvidia-ctk", "cdi", "generate", f"--output={INSTALLED}")


def twice(node: Node) -> None:
    inside(node, OTHER).write_text(inside(node, INSTALLED).read_text())


FAULTS: dict[str, Callable[[Node], None]] = {
    "spec-missing": lambda node: inside(node, INSTALLED).unlink(),
    "spec-stale": lambda node: edited(node, "535.247.01", "535.230.02"),
    "spec-invalid": lambda node: edited(node, "devices:", "foo: bar\ndevices:"),
    "spec-unpatched": wrapped,
    "spec-conflict": twice,
}


@pytest.mark.parametrize("root", FAULTS)
def test_the_root_is_found_and_its_remedy_is_one_for_this_machine(machine: Node, root: str) -> None:
    FAULTS[root](machine)
    code, _, roots = examined(machine)
    assert (code, list(roots)) == (1, [root])
    assert "pulumi" not in roots[root]


def test_a_device_node_that_only_root_may_open_is_found(machine: Node) -> None:
    node = inside(machine, "/dev/nvidiactl")
    mode = node.stat().st_mode & 0o777
    node.chmod(0o660)
    try:
        assert list(examined(machine)[2]) == ["device-permissions"]
    finally:
        node.chmod(mode)
