"""A whole verification: Talos API, Kubernetes API and exec faked at the transport, the real ffmpeg behind exec."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from talos_gpu.cdi import Strategy, facts, patch
from talos_gpu.cli.verify import app
from talos_gpu.settings.stack_file import stack_settings
from talos_gpu.talos.proto import machine_pb2
from talos_gpu.verify.pod import throwaway_manifest
from talos_gpu.verify.report import Outcome, Report
from talos_gpu.verify.stack import Options, verify
from talos_gpu.verify.subject import Credentials, Subject
from tests.commanding import talos_gpu
from tests.kube.fake_api import Api
from tests.kube.fake_api import serving as serving_api
from tests.talos.fake_talos import ADDRESS, Node
from tests.talos.fake_talos import serving as serving_talos
from tests.talos.pki import Authority, elsewhere, talosconfig
from tests.verify.conftest import MockContainer

ROOT = Path(__file__).parents[2]
AUTHORITY = Authority()
PODS = "/api/v1/namespaces/media/pods"
POD: dict[str, Any] = {
    "metadata": {"namespace": "media", "name": "tdarr-0"},
    "spec": {"nodeName": "lab-1", "containers": [{"name": "tdarr-node"}]},
    "status": {"phase": "Running", "containerStatuses": [{"state": {"running": {}}}]},
}
DRIVER = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.247.01  (pretended by the lab)\n"


def talos_node(spec: str) -> Node:
    needed = facts(spec)
    names = {path.rsplit("/", 1)[-1] for path in (*needed.host_paths, *needed.executables)}
    return Node(
        files={
            "/var/run/cdi/nvidia.yaml": spec.encode(),
            "/proc/driver/nvidia/version": DRIVER.encode(),
            "/proc/devices": b"Character devices:\n195 nvidia\n511 nvidia-uvm\n\nBlock devices:\n  7 loop\n",
        },
        folder=[machine_pb2.FileInfo(name=name, relative_name=name) for name in sorted(names)],
    )


@dataclass
class Surroundings:
    """A node and its cluster, as the project's folder leads to them."""

    talos: Node
    api: Api
    folder: Path
    context: str = ""

    @contextlib.asynccontextmanager
    async def served(self) -> AsyncIterator[Path]:
        async with serving_talos(self.talos, AUTHORITY) as port, serving_api(self.api, self.folder) as kubeconfig:
            whole = talosconfig(AUTHORITY, AUTHORITY.client("os:admin"))
            (self.folder / "talosconfig").write_text(elsewhere(whole) if self.context else whole)
            document = yaml.safe_load((ROOT / "Pulumi.lab.yaml").read_text())
            config = document["config"]
            config["talos-nvidia-cdi:node"] |= {"address": ADDRESS, "endpoint": f"{ADDRESS}:{port}"}
            config["talos-nvidia-cdi:talosconfig"] = str(self.folder / "talosconfig")
            config["talos-nvidia-cdi:kubeconfig"] = str(kubeconfig)
            config["talos-nvidia-cdi:talos_context"] = self.context
            path = self.folder / "Pulumi.lab.yaml"
            path.write_text(yaml.safe_dump(document))
            yield path

    def verify(self, options: Options) -> Report:
        async def conversation() -> Report:
            async with self.served() as path:
                settings = stack_settings(path)
                credentials = Credentials(settings.talosconfig, settings.kubeconfig, settings.talos_context)
                return await verify("lab", Subject.of(settings), credentials, options)

        return asyncio.run(conversation())

    def command(self, *words: str) -> tuple[int, str, str]:
        """Exit code, stdout and stderr of `talos-gpu verify lab --json WORDS`."""

        async def conversation() -> tuple[int, str, str]:
            async with self.served():
                return await talos_gpu(self.folder, "verify", "lab", "--json", *words)

        return asyncio.run(conversation())


@pytest.fixture
def surroundings(container: MockContainer, fixtures: Path, tmp_path: Path) -> Surroundings:
    spec = patch((fixtures / "cdi/p2000-535/toolkit-1.17.8.yaml").read_text(), Strategy.REAL).text
    folder = tmp_path / "project"
    folder.mkdir()

    def program(command: list[str]) -> tuple[int, bytes, bytes]:
        said = asyncio.run(container.run(command, 20))
        return said.rc, said.stdout.encode(), said.stderr.encode()

    objects = {PODS: {"items": [POD]}, f"{PODS}/tdarr-0": POD}
    return Surroundings(talos_node(spec), Api(objects, program=program), folder)


def outcomes(report: Report) -> dict[str, str]:
    return {proof.name: str(proof.outcome) for proof in report.proofs}


ALL_PROVEN = dict.fromkeys(("spec", "inside", "nvidia-smi", "hevc_nvenc", "h264_nvenc", "decode", "cuda"), "proven")


def test_a_healthy_node_is_proven_in_its_worker_and_says_that_it_is_pretended(surroundings: Surroundings) -> None:
    report = surroundings.verify(Options(floor=0.1))
    assert outcomes(report) == ALL_PROVEN, report
    assert (report.place, report.exit_code, report.pretended) == ("pod media/tdarr-0", 0, True)
    selectors = [query["labelSelector"] for path, query in surroundings.api.requests if path == PODS]
    assert selectors == [["app=tdarr-node-gpu,talos-nvidia-cdi/node=lab-1"]]
    assert surroundings.api.created == []


def test_the_spec_is_read_with_the_named_context(surroundings: Surroundings) -> None:
    surroundings.context = "lab"
    assert outcomes(surroundings.verify(Options(floor=0.1))) == ALL_PROVEN


def test_a_throwaway_pod_is_made_used_and_deleted(surroundings: Surroundings) -> None:
    surroundings.api.kubelet = runs
    report = surroundings.verify(Options(pod=True, floor=0.1))
    assert outcomes(report) == ALL_PROVEN, report
    [made] = surroundings.api.created
    assert made["spec"]["runtimeClassName"] == "nvidia-cdi"
    assert surroundings.api.deleted == [f"{PODS}/{made['metadata']['name']}"]


def test_a_throwaway_pod_that_cannot_be_deleted_is_a_note_and_takes_nothing_from_the_proofs(
    surroundings: Surroundings,
) -> None:
    api = surroundings.api
    api.kubelet = runs
    work = api.program
    assert work is not None

    def refusing(command: list[str]) -> tuple[int, bytes, bytes]:
        said = work(command)
        if any("scale_cuda" in word for word in command):
            api.status = 403  # from the last of the proofs on
        return said

    api.program = refusing
    report = surroundings.verify(Options(pod=True, floor=0.1))
    assert outcomes(report) == ALL_PROVEN, report
    assert report.exit_code == 0
    [made] = api.created
    note = report.notes[0]
    assert note.startswith("the throwaway pod could not be deleted (")
    assert note.endswith(f"kubectl delete pod -n media {made['metadata']['name']}")


def runs(pod: dict[str, Any]) -> None:
    pod["status"] = {"phase": "Running", "containerStatuses": [{"state": {"running": {}}}]}


def waits(pod: dict[str, Any]) -> None:
    why = {"reason": "CreateContainerError", "message": "unresolvable CDI devices nvidia.com/gpu=all"}
    pod["status"] = {"phase": "Pending", "containerStatuses": [{"state": {"waiting": why}}]}


def test_a_throwaway_pod_that_cannot_start_says_why_and_is_deleted(surroundings: Surroundings) -> None:
    surroundings.api.kubelet = waits
    report = surroundings.verify(Options(pod=True))
    assert outcomes(report) == {"spec": "proven", "pod": "could not tell"}
    assert "CreateContainerError: unresolvable CDI devices nvidia.com/gpu=all" in report.proof("pod").sentence
    assert report.exit_code == 2
    assert len(surroundings.api.deleted) == 1


def test_with_the_worker_gone_it_could_not_tell_and_says_what_is_there(surroundings: Surroundings) -> None:
    surroundings.api.objects[PODS] = {"items": []}
    report = surroundings.verify(Options())
    assert report.proof("pod").sentence == "no running pod of media/tdarr-node-gpu on lab-1: there is none"
    assert report.exit_code == 2


def test_a_worker_that_is_being_deleted_is_not_looked_into(surroundings: Surroundings) -> None:
    ending = {**POD, "metadata": {**POD["metadata"], "deletionTimestamp": "2026-01-01T00:00:00Z"}}
    surroundings.api.objects[PODS] = {"items": [ending]}
    report = surroundings.verify(Options())
    assert report.proof("pod").sentence == (
        "no running pod of media/tdarr-node-gpu on lab-1: tdarr-0 is Running (being deleted)"
    )


def test_with_the_talos_api_gone_the_work_is_still_proven(surroundings: Surroundings) -> None:
    surroundings.talos.unavailable = 10_000
    report = surroundings.verify(Options(floor=0.1))
    assert report.proof("spec").outcome is Outcome.UNKNOWN
    assert report.proof("hevc_nvenc").outcome is Outcome.PROVEN
    assert report.exit_code == 2


def test_the_throwaway_pod_may_do_nothing_but_use_the_gpu() -> None:
    subject = Subject.of(stack_settings(ROOT / "Pulumi.lab.yaml"))
    spec = throwaway_manifest(subject, "image:1", "v", "media")["spec"]
    assert spec["nodeSelector"] == {"kubernetes.io/hostname": "lab-1"}
    assert spec["containers"][0]["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "runAsNonRoot": True,
        "runAsUser": 65534,
        "runAsGroup": 65534,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert spec["activeDeadlineSeconds"] > 0
    assert "hostPID" not in spec


def test_the_command_prints_json_writes_junit_and_ends_with_the_code(surroundings: Surroundings) -> None:
    junit = surroundings.folder / "junit.xml"
    code, out, err = surroundings.command("--floor", "0.1", "--junit", str(junit))
    assert (code, err) == (0, "")
    [report] = json.loads(out)["reports"]
    assert {proof["name"]: proof["outcome"] for proof in report["proofs"]} == ALL_PROVEN
    assert '<testsuite name="lab"' in junit.read_text()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--junit", "/nowhere/x.xml"), "/nowhere is no folder: make it first"),
        (("--junit", "/tmp"), "/tmp is a folder: name a file in it"),
        (("--image", "busybox"), "is for the throwaway pod: add --pod"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is_proven(words: tuple[str, ...], said: str) -> None:
    done = CliRunner().invoke(app, ["lab", "--project", "/nowhere", *words])
    assert (done.exit_code, done.stdout) == (2, "")
    assert said in done.stderr.replace("\n", " ")


def test_the_proofs_are_printed_also_where_junit_turns_out_not_to_be_writable(surroundings: Surroundings) -> None:
    junit = surroundings.folder / "junit.xml"

    def without_programs(_command: list[str]) -> tuple[int, bytes, bytes]:
        junit.mkdir(exist_ok=True)  # after the command has looked
        return 127, b"", b"not found"

    surroundings.api.program = without_programs
    code, out, err = surroundings.command("--junit", str(junit))
    assert (code, err) == (1, f"error: {junit} was not written: Is a directory\n")
    [report] = json.loads(out)["reports"]
    assert report["exit_code"] == 1


def test_a_stack_that_is_not_there_ends_with_2(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "talos_gpu", "verify", "nowhere", "--project", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "there is no stack file" in done.stderr
