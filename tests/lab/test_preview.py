"""`talos-gpu preview` after the first update: config, reboot, CDI spec, and drift apart from the change."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lab.paths import PROJECT
from talos_gpu.preview.markdown import MARKER
from talos_gpu.settings.stack_file import stack_settings
from tests.lab.conftest import MainJob, wait_for
from tests.policy.conftest import pack as pack  # noqa: PLC0414 - a fixture

pytestmark = pytest.mark.lab


def preview(job: MainJob, *words: str, policy: str = "--no-policy") -> str:
    command = [sys.executable, "-m", "talos_gpu", "preview", job.stack.name, policy, *words]
    where = ["--stack-files", str(job.stack.config.parent)]
    done = subprocess.run(
        [*command, *where],
        cwd=PROJECT,
        env=job.stack.environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def secrets_of(base: Path) -> list[str]:
    """What must not be shown: the machine's token and keys."""
    lines = base.read_text().splitlines()
    found = [line.split(":", 1)[1].strip() for line in lines if line.strip().startswith(("token:", "secret:", "crt:"))]
    assert found
    return found


def test_a_change_is_told_with_its_reboot_and_its_specs_difference(job: MainJob) -> None:
    """With the cluster off as far as the preview can see: its kubeconfig names a port that is closed."""
    kubeconfig = job.stack.config.with_name("nowhere.kubeconfig")
    text = job.lab.paths.kubeconfig.read_text()
    server = next(line for line in text.splitlines() if "server:" in line)
    kubeconfig.write_text(text.replace(server.split("server:")[1].strip(), "https://127.0.0.1:1"))
    with job.configured(cdi={"runtime": "default", "hook": "nvidia-ctk"}, kubeconfig=str(kubeconfig)):
        document: dict[str, Any] = json.loads(preview(job, "--json"))
    [stack] = document["stacks"]
    assert stack["reboot"]["verdict"] == "yes"
    assert "machine.files: /etc/cri/conf.d/20-customization.part" in stack["reboot"]["reasons"][0]
    assert stack["machine_config"]["known"] == "known"
    assert '+                  default_runtime_name = "nvidia-cdi"' in stack["machine_config"]["diff"]
    assert stack["spec"]["known"] == "predicted"
    assert {"/usr/local/bin/nvidia-ctk"} == {
        change["new"] for change in stack["spec"]["changes"] if change["path"].endswith(": path")
    }
    assert stack["restarts"] == [f"media/tdarr-node-gpu-{job.node.name}"]
    assert stack["drift"] == []
    said = json.dumps(document)
    assert not any(secret in said for secret in secrets_of(job.lab.paths.talos / f"{job.node.name}.yaml"))


def test_drift_is_told_apart_from_the_change(job: MainJob) -> None:
    source = job.inside("/var/cdi/nvidia.yaml")
    good = source.read_text()

    def put(text: str) -> None:
        fresh = source.with_suffix(".tmp")
        fresh.write_text(text)
        fresh.rename(source)

    put(good.replace("535.247.01", "535.261.03"))
    try:
        said = preview(job, "--refresh")
    finally:
        put(good)
    job.settle()
    assert said.startswith(MARKER)
    drift = said.partition("**Drift, found by the refresh; not part of this change**")[2].partition("\n**")[0]
    assert "lab-1-cdi-source: /var/cdi/nvidia.yaml was made for driver 535.261.03, the node has 535.247.01" in drift
    assert "lab-1-cdi-spec: ~ driver version: 535.247.01 -&gt; 535.261.03 in" in drift.replace("->", "-&gt;")
    assert "**Reboot: no**." in said
    wait_for("the spec that the installer took away meanwhile is back, and nothing differs", job.quiet)


def test_our_own_program_breaks_no_policy_when_its_values_are_known(job: MainJob, pack: Path) -> None:
    """The worker's image by its tag, which is a known one without a digest, is told: so the pack was run."""
    with job.configured(tdarr={"image": "lab.local/tdarr-node:1"}):
        [stack] = json.loads(preview(job, "--json", policy=f"--policy-pack={pack}"))["stacks"]
    assert [change["type"].rpartition(":")[2] for change in stack["changes"]] == ["WorkerRestart", "Deployment"]
    assert {(found["policy"], found["level"]) for found in stack["policy"]} == {("images-to-pin", "advisory")}


def test_a_new_stack_is_read_from_the_node_by_a_reader(job: MainJob, tmp_path: Path) -> None:
    node = job.node
    reader = str(job.lab.paths.talos / "talosconfig-reader")
    known = ["--node", node.name, "--memory-mib", "5120", "--base", "base.yaml", "--no-ask"]
    where = [
        "--address",
        node.network.address,
        "--endpoint",
        node.endpoint,
        "--talosconfig",
        reader,
        "--project",
        str(tmp_path),
    ]
    command = [sys.executable, "-m", "talos_gpu", "stack", "new", "fresh", *where, *known]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "nvidia-container-toolkit-lts" in done.stderr
    made, ours = stack_settings(tmp_path / "Pulumi.fresh.yaml").node, stack_settings(job.stack.config).node
    assert made.talos == ours.talos
    assert (made.gpu.model, made.gpu.driver) == (ours.gpu.model, ours.gpu.driver)
