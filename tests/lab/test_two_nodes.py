"""Test 7: two stacks, two nodes, one cluster; neither touches the other's, and destroying one leaves the other."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lab import kubectl
from lab.lab import Lab
from lab.stack import Stack
from tests.lab.conftest import MainJob, wait_for
from tests.lab.verifying import pretending, verify

pytestmark = pytest.mark.lab

INSTALLED = "/run/cdi/nvidia.yaml"


def bring_up(lab: Lab, name: str) -> MainJob:
    stack = Stack(lab, lab.node(name))
    stack.init()
    done = stack.operation("up", "--skip-preview", check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return MainJob(lab, stack, done.stdout, ())


@pytest.fixture(scope="module")
def two(binaries: Path) -> Iterator[tuple[MainJob, MainJob]]:
    """Both stacks up: the first with what they share, then the second."""
    lab = Lab("test-two", binaries)
    lab.down()
    try:
        lab.make(["lab-1", "lab-2"])
        lab.start(print)
        kubectl.wait_node_ready(lab, ["lab-1", "lab-2"])
        yield bring_up(lab, "lab-1"), bring_up(lab, "lab-2")
    finally:
        lab.down()


def test_two_stacks_of_one_cluster_leave_each_other_alone(two: tuple[MainJob, MainJob]) -> None:
    with ThreadPoolExecutor() as both:
        assert list(both.map(MainJob.quiet, two)) == [True, True]
    for job in two:
        [pod] = job.installer_pods()
        assert pod["metadata"]["labels"]["talos-nvidia-cdi/node"] == job.node.name
        assert f"node {job.node.name}, source /var/cdi/nvidia.yaml" in job.installer_log()
        job.encode()

    first, second = two
    before = second.inside(INSTALLED).stat().st_mtime_ns
    good = first.inside(INSTALLED).read_text()
    first.inside(INSTALLED).unlink()
    wait_for("the first node's spec is put back", lambda: first.inside(INSTALLED).exists())
    assert first.inside(INSTALLED).read_text() == good
    back = "put /var/run/cdi/nvidia.yaml back: it was missing"
    wait_for("the first installer says so", lambda: back in first.installer_log())
    others = second.installer_log()
    assert "NVIDIA CDI Spec Initializer" in others
    assert "put /var/run/cdi/nvidia.yaml back" not in others
    assert second.inside(INSTALLED).stat().st_mtime_ns == before


def test_both_are_verified_at_once_and_one_that_fails_is_told_from_the_other(two: tuple[MainJob, MainJob]) -> None:
    first, second = two
    stacks = [job.stack.name for job in two]
    found = verify(first.lab, *stacks)
    assert found.code == 0, found
    for job in two:
        assert found.reports[job.stack.name]["node"] == job.node.name
        assert set(found.outcomes(job.stack.name).values()) == {"proven"}
    with pretending(second, codecs="none"):
        found = verify(first.lab, *stacks)
    assert found.code == 1
    assert found.causes(first.stack.name) == {}
    assert found.causes(second.stack.name) == dict.fromkeys(("hevc_nvenc", "h264_nvenc"), "nvenc-unsupported")


def test_destroying_one_leaves_the_other_encoding(two: tuple[MainJob, MainJob]) -> None:
    first, second = two
    pods = [pod["metadata"]["uid"] for pod in second.installer_pods()]
    first.stack.operation("destroy", "--skip-preview")
    assert first.installer_pods() == []
    second.encode()
    assert second.quiet()
    assert [pod["metadata"]["uid"] for pod in second.installer_pods()] == pods
