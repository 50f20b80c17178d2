"""Test 8: previews need neither node nor cluster; destroy removes every object that is ours and names what stays."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import kubectl
from lab.lab import Lab
from lab.stack import Stack
from tests.lab.conftest import MainJob

pytestmark = pytest.mark.lab

OURS = "job,daemonset,deployment,configmap,persistentvolumeclaim,pod"


@pytest.fixture
def lab_that_is_off(binaries: Path) -> Iterator[Lab]:
    """A lab with everything made and nothing started."""
    lab = Lab("test-off", binaries)
    lab.down()
    try:
        lab.make()
        yield lab
    finally:
        lab.down()


def test_the_first_create_is_previewed_with_node_and_cluster_off(lab_that_is_off: Lab) -> None:
    stack = Stack(lab_that_is_off, lab_that_is_off.node())
    stack.init()
    said = stack.operation("preview").stdout
    assert "+ 23 to create" in said, said


def test_an_update_is_previewed_with_node_and_cluster_off(job: MainJob) -> None:
    job.node.stop()
    job.lab.cluster.stop()
    try:
        with job.configured(tdarr={"ffmpeg_version": "7"}):
            said = job.stack.operation("preview", "--diff").stdout
    finally:
        job.lab.start(print)
        kubectl.wait_node_ready(job.lab, [job.node.name])
    assert '"6" => "7"' in " ".join(said.split()), said
    assert "~ 2 to update" in said, "the worker and what waits for it"
    job.settle()


def test_destroy_removes_what_is_ours_and_names_what_stays(job: MainJob) -> None:
    said = job.stack.operation("destroy", "--skip-preview").stdout
    label = ("-l", f"talos-nvidia-cdi/node={job.node.name}", "-A")
    try:
        assert kubectl.get(job.lab, OURS, *label)["items"] == []
        assert kubectl.get(job.lab, "namespace", "media")["metadata"]["name"] == "media"
        assert kubectl.get(job.lab, "runtimeclass", "nvidia-cdi")["handler"] == "nvidia-cdi"
        for kept in ("Namespace", "RuntimeClass"):
            assert re.search(rf"{kept} .* deleted .*\[retain\]", said), said
        assert f"on {job.node.name} stay the applied machine config, the generated spec /var/cdi/nvidia.yaml" in said
        assert list(job.stack.resources()) == []
    finally:
        job.up()
        job.settle()
    job.encode()
