"""Test 5: what moves on node or cluster behind Pulumi's back is seen by a refresh and mended by one `up`."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from lab import kubectl
from tests.lab.conftest import MainJob, wait_for

pytestmark = pytest.mark.lab

SOURCE, INSTALLED = "/var/cdi/nvidia.yaml", "/run/cdi/nvidia.yaml"
PART = "/etc/cri/conf.d/20-customization.part"
RESOURCES = {
    "source": "pulumi-python:dynamic/cdi:Source",
    "spec": "pulumi-python:dynamic/cdi:Spec",
    "machine": "pulumi-python:dynamic/talos:MachineState",
    "daemonset": "kubernetes:apps/v1:DaemonSet",
}


def delete_source(job: MainJob) -> str:
    job.inside(SOURCE).unlink()
    return f"{SOURCE} is not there"


def spoil_source(job: MainJob) -> str:
    source = job.inside(SOURCE)
    source.write_text(source.read_text().replace("535.247.01", "535.230.02"))
    return f"{SOURCE} was made for driver 535.230.02, the node has 535.247.01"


def regenerate_source(job: MainJob) -> str:
    """Another spec that is right too."""
    job.node.run("/usr/local/bin/nvidia-ctk", "cdi", "generate", f"--output={SOURCE}", "--device-name-strategy=uuid")
    return ']: "- device 0"'


def remove_device_node(job: MainJob) -> str:
    job.inside("/dev/dri/card0").unlink()
    return f"{SOURCE}: the spec wants /dev/dri/card0; the host does not have it"


def edit_part(job: MainJob) -> str:
    part = job.inside(PART)
    part.write_text(part.read_text().replace("/var/run/cdi", "/var/cdi"))
    return PART


def delete_daemon_set(job: MainJob) -> str:
    kubectl.kubectl(job.lab, "delete", "-n", "kube-system", f"daemonset/nvidia-cdi-init-{job.node.name}")
    return f"nvidia-cdi-init-{job.node.name}"


def wipe_var(job: MainJob) -> str:
    job.node.stop()
    shutil.rmtree(job.node.state / "var")
    (job.node.state / "var").mkdir()
    job.lab.start(print)
    kubectl.wait_node_ready(job.lab, [job.node.name])
    return f"{SOURCE} is not there"


def edit_installed_while_the_installer_hangs(job: MainJob) -> str:
    installer(job, signal.SIGSTOP)
    installed = job.inside(INSTALLED)
    installed.write_text(installed.read_text().replace("nvidia-cdi-hook.real", "nvidia-cdi-hook"))
    return "/var/run/cdi/nvidia.yaml is not the spec that was installed: it was edited"


def installer(job: MainJob, number: signal.Signals) -> None:
    running = installer_processes(job)
    assert running
    for process in running:
        os.kill(process, number)


def installer_processes(job: MainJob) -> list[int]:
    """The installer's shell; what it has just forked has its words too, and may be gone before a signal comes."""
    parents: dict[int, int] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words, groups = (folder / "cmdline").read_bytes(), (folder / "cgroup").read_text()
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
        if b"/payload/install.sh\0run" in words and f"talos-lab-{job.lab.paths.tag}-{job.node.name}" in groups:
            parents[int(folder.name)] = parent
    return [process for process, parent in parents.items() if parent not in parents]


@pytest.mark.parametrize(
    ("moved", "cause", "drift"),
    [
        ("source", "- drift_removed", delete_source),
        ("source", "- drift_driver", spoil_source),
        ("spec", "- drift_regenerated", regenerate_source),
        ("machine", "- drift_part", edit_part),
        ("daemonset", "", delete_daemon_set),
        ("spec", "- drift_edited", edit_installed_while_the_installer_hangs),
        ("source", "- drift_unfit", remove_device_node),
        ("source", "- drift_removed", wipe_var),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_drift_is_seen_and_mended_by_one_up(
    job: MainJob, moved: str, cause: str, drift: Callable[[MainJob], str]
) -> None:
    words = drift(job)
    seen = job.refreshed()
    assert RESOURCES[moved] in seen, seen
    assert words in seen, seen
    assert cause in seen, seen
    job.up()
    job.settle()
    assert job.quiet()
    job.encode()
    assert job.inside(INSTALLED).read_text() == job.stack.outputs_of("pulumi-python:dynamic/cdi:Spec")["text"]


def test_a_removed_spec_is_told_in_the_summary_and_in_json(job: MainJob) -> None:
    installer(job, signal.SIGSTOP)
    try:
        job.inside(INSTALLED).unlink()
        summary = job.stack.operation("preview", "--refresh").stdout
        digest = json.loads(job.stack.operation("preview", "--refresh", "--json").stdout)
    finally:
        installer(job, signal.SIGCONT)
    assert re.search(r"cdi:Spec \S+ update \[diff: -drift_removed\]", summary), summary
    [step] = [step for step in digest["steps"] if "cdi:Spec" in step["urn"] and step["op"] == "update"]
    assert step["detailedDiff"] == {"drift_removed": {"kind": "delete", "inputDiff": True}}
    assert step["oldState"]["inputs"]["drift_removed"] == [
        "/var/run/cdi/nvidia.yaml is not there: the installer has not put it there, or has withdrawn it"
    ]
    wait_for("the installer puts it back", job.inside(INSTALLED).exists)
    job.settle()
    assert job.quiet()
