"""Tests 1 to 3 of the main job: up from nothing, in order, quiet afterwards, with the seed's failures and the cure."""

from __future__ import annotations

import itertools
import json
import subprocess
from collections.abc import Mapping
from typing import Any

import pytest

from lab import kubectl
from lab.proof import SEED_SMI, read_node_file
from talos_gpu.cdi import Strategy, patch
from tests.lab.conftest import MainJob
from tests.lab.pods import run_pod, why_it_fails, without_installer

pytestmark = pytest.mark.lab

ORDER = (
    "pulumi-python:dynamic/talos:MachineState",
    "talos:machine/configurationApply:ConfigurationApply",
    "pulumi-python:dynamic/talos:MachineReady",
    "pulumi-python:dynamic/cdi:Source",
    "kubernetes:batch/v1:Job",
    "pulumi-python:dynamic/cdi:Spec",
    "kubernetes:core/v1:ConfigMap",
    "kubernetes:apps/v1:DaemonSet",
    "pulumi-python:dynamic/talos:WorkerRestart",
    "kubernetes:apps/v1:Deployment",
)
"""design.md, section 4."""

SOURCE, INSTALLED = "/var/cdi/nvidia.yaml", "/var/run/cdi/nvidia.yaml"


def resource_type(event: Mapping[str, Any], kind: str) -> str:
    return str(event[kind]["metadata"]["type"]) if kind in event else ""


def test_each_step_starts_after_the_one_before_has_ended(job: MainJob) -> None:
    began = {resource_type(e, "resourcePreEvent"): n for n, e in enumerate(job.first_events)}
    ended = {resource_type(e, "resOutputsEvent"): n for n, e in enumerate(job.first_events)}
    assert set(ORDER) <= began.keys() & ended.keys()
    for before, after in itertools.pairwise(ORDER):
        assert ended[before] < began[after], f"{after} began before {before} had ended"


def test_a_second_look_finds_nothing_even_after_a_reboot(job: MainJob) -> None:
    assert job.quiet()
    before = hardware_address(job)
    job.reboot()
    assert job.quiet()
    assert hardware_address(job) == before, "a machine keeps it"
    job.encode()


def hardware_address(job: MainJob) -> str:
    """The node's in Ethernet, as it has it itself."""
    words = ["nsenter", "--target", str(job.node.pid), "--net", "ip", "-json", "link", "show", "eth0"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    return str(json.loads(done.stdout)[0]["address"])


def test_the_installed_spec_is_the_patched_source(job: MainJob) -> None:
    source, installed = read_node_file(job.stack, SOURCE), read_node_file(job.stack, INSTALLED)
    patched = patch(source, Strategy.REAL)
    assert patched.replaced > 0
    assert installed == patched.text
    assert job.stack.outputs()["spec_sha256"] == patched.sha256


def test_the_worker_has_its_gpu_through_the_runtime_class(job: MainJob) -> None:
    pod = kubectl.get(job.lab, "pods", "-n", "media")["items"][0]
    assert pod["spec"]["runtimeClassName"] == "nvidia-cdi"
    assert not pod["spec"]["containers"][0].get("securityContext", {}).get("privileged")
    said = kubectl.kubectl(
        job.lab, "exec", "-n", "media", pod["metadata"]["name"], "--", "nvidia-smi",
        "--query-gpu=name,driver_version,memory.total", "--format=csv",
    )  # fmt: skip
    assert said.splitlines() == ["name, driver_version, memory.total [MiB]", SEED_SMI]
    for codec in ("hevc_nvenc", "h264_nvenc"):
        job.encode(codec)


ENCODE = (
    "ffmpeg",
    "-hide_banner",
    "-f",
    "lavfi",
    "-i",
    "testsrc=duration=1",
    "-pix_fmt",
    "yuv420p",
    "-c:v",
    "hevc_nvenc",
    "-f",
    "null",
    "-",
)


def test_without_the_runtime_class_nothing_is_injected_and_ffmpeg_says_so(job: MainJob) -> None:
    said = run_pod(job, "plain", {"image": "lab.local/tdarr-node:1", "command": ENCODE})
    assert "Cannot load libcuda.so.1" in said


def test_without_a_good_spec_pods_fail_word_for_word_as_in_the_seed(job: MainJob) -> None:
    installed = job.inside("/run/cdi/nvidia.yaml")
    with without_installer(job):
        good = installed.read_text()
        installed.unlink()
        assert "unresolvable CDI devices nvidia.com/gpu=all" in why_it_fails(job, "no-spec")
        fresh = installed.with_suffix(".tmp")
        fresh.write_text(good.replace("nvidia-cdi-hook.real", "nvidia-cdi-hook"))
        fresh.rename(installed)
        assert "nvidia-container-runtime-wrapper: unknown command nvidia-cdi-hook" in why_it_fails(job, "unpatched")
    assert installed.read_text() == good
