"""The rollout's built-in gates: Talos API, Kubernetes API, exec and the engine faked at the transport, ffmpeg real."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from talos_gpu.cdi import Strategy, patch
from talos_gpu.rollout import gates
from talos_gpu.rollout.gates import Asked, Said, Verdict
from talos_gpu.rollout.model import Gate
from talos_gpu.rollout.reboots import AFTER, READY
from talos_gpu.talos.facts import LOADED_MODULES
from talos_gpu.talos.machine_config import LABEL, MODULES, wanted
from talos_gpu.talos.part import PART_PATH
from talos_gpu.talos.proto import machine_pb2
from talos_gpu.talos.releases import Method, strategy_for
from tests.kube.fake_api import NODE, Api
from tests.verify.conftest import MockContainer
from tests.verify.test_stack import POD, PODS, Surroundings, talos_node

DEPLOYMENTS = "/apis/apps/v1/namespaces/media/deployments"
BOOT = "/proc/sys/kernel/random/boot_id"
TOUCHED = {"changes": [{"op": "update", "type": READY, "name": "lab-1-machine-ready"}]}
LOST = {"unended": True}
"""An update went before it that nobody saw the end of."""
UNTOUCHED: dict[str, Any] = {"changes": [], "seconds": 1.0}
PULUMI = f"#!{sys.executable}\nimport pathlib, sys\nprint(pathlib.Path(sys.argv[0]).with_name('state').read_text())\n"


@dataclass
class Scene:
    """A stack that was updated well; tests break it."""

    around: Surroundings
    mock: MockContainer
    bin: Path
    ready: dict[str, Any] = field(
        default_factory=lambda: {"boot_id": "new", "boot_id_before": "old", "reboot": "apply", "reboot_pending": False}
    )
    """The outputs of MachineReady in the stack's state."""
    after: dict[str, Any] = field(default_factory=dict)
    """Those of MachineRestarted."""
    update: dict[str, Any] = field(default_factory=lambda: dict(TOUCHED))
    stopped: threading.Event = field(default_factory=threading.Event)

    @property
    def node(self) -> Any:
        return self.around.talos

    @property
    def objects(self) -> dict[str, Any]:
        return self.around.api.objects

    def asked(self, file: Path, seconds: int = 1) -> Asked:
        return Asked("lab", self.around.folder, file, seconds, self.update, self.stopped)

    def ask(self, name: str, seconds: int = 1, meanwhile: Callable[[], None] = lambda: None) -> Said:
        """What a gate says; `meanwhile` is done half a second after it was asked."""
        resources = [{"type": READY, "outputs": self.ready}] if self.ready else []
        resources += [{"type": AFTER, "outputs": self.after}] if self.after else []
        (self.bin / "state").write_text(json.dumps({"deployment": {"resources": resources}}))

        async def conversation() -> Said:
            async with self.around.served() as file:
                asyncio.get_running_loop().call_later(0.5, meanwhile)
                return await asyncio.to_thread(gates.gate_of(Gate(name=name)), self.asked(file, seconds))

        return asyncio.run(conversation())


@pytest.fixture
def scene(container: MockContainer, fixtures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    def program(command: list[str]) -> tuple[int, bytes, bytes]:
        said = asyncio.run(container.run(command, 20))
        return said.rc, said.stdout.encode(), said.stderr.encode()

    folder, programs = tmp_path / "project", tmp_path / "bin"
    folder.mkdir()
    programs.mkdir()
    (programs / "pulumi").write_text(PULUMI)
    (programs / "pulumi").chmod(0o755)
    monkeypatch.setenv("PATH", str(programs), prepend=os.pathsep)
    node = talos_node(patch((fixtures / "cdi/p2000-535/toolkit-1.17.8.yaml").read_text(), Strategy.REAL).text)
    part = wanted(strategy_for("v1.11.1"), Method.SPEC).part
    assert part is not None
    node.files |= {BOOT: b"new\n", PART_PATH: part.encode()}
    node.resources |= {(LOADED_MODULES, name): {} for name in MODULES}
    node.services = [service("ext-nvidia-persistenced"), service("kubelet", "Failed")]
    labels = {**NODE["metadata"]["labels"], LABEL[0]: LABEL[1]}
    status = {**NODE["status"], "nodeInfo": {**NODE["status"]["nodeInfo"], "bootID": "new"}}
    objects = {
        PODS: {"items": [POD]},
        f"{PODS}/tdarr-0": POD,
        "/api/v1/nodes/lab-1": {**NODE, "metadata": {"name": "lab-1", "labels": labels}, "status": status},
        DEPLOYMENTS: {"items": [deployment()]},
    }
    return Scene(Surroundings(node, Api(objects, program=program), folder), container, programs)


def service(name: str, state: str = "Running", *, healthy: bool = True) -> machine_pb2.ServiceInfo:
    health = machine_pb2.ServiceHealth(healthy=healthy, last_message="" if healthy else "no socket")
    return machine_pb2.ServiceInfo(id=name, state=state, health=health)


def deployment(available: int = 1, *, observed: int = 2) -> dict[str, Any]:
    status = {"observedGeneration": observed, "availableReplicas": available, "updatedReplicas": 1}
    return {"metadata": {"name": "tdarr", "generation": 2}, "spec": {"replicas": 1}, "status": status}


def test_a_stack_that_was_updated_well_passes_every_gate_in_the_order_of_the_issue(scene: Scene) -> None:
    order = ["machine-ready", "services", "node-ready", "spec-fresh", "encode", "workload-ready"]
    assert [rule.name for rule in gates.built_in()] == order
    for name in order:
        said = scene.ask(name, 30)
        assert said.verdict is Verdict.PASSED, (name, said)
        assert said.evidence


def test_nothing_heavy_is_imported_before_a_gate_is_asked() -> None:
    code = "import sys, talos_gpu.rollout.gates; print([m for m in sys.modules if m in ('kr8s', 'grpclib', 'httpx')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("ready", "update", "boot", "verdict", "words"),
    [
        (
            {},
            TOUCHED,
            "other",
            Verdict.FAILED,
            "it has restarted since its update: the machine config was seen to hold on",
        ),
        ({"boot_id_before": "new"}, TOUCHED, "new", Verdict.FAILED, "it was to restart and is on boot new as before"),
        ({"reboot_pending": True}, TOUCHED, "new", Verdict.FAILED, "its machine config is staged and waits"),
        ({}, TOUCHED, "new", Verdict.PASSED, "the update restarted it"),
        ({"reboot": "none"}, TOUCHED, "new", Verdict.PASSED, "no restart was due"),
        ({}, UNTOUCHED, "other", Verdict.PASSED, "the update had nothing to do on the machine"),
        ({}, UNTOUCHED | LOST, "other", Verdict.FAILED, "it has restarted since its update"),
        ({}, UNTOUCHED | LOST, "new", Verdict.PASSED, "the update restarted it"),
        (
            {},
            {},
            "other",
            Verdict.PASSED,
            "nothing is known of the update before, so whether it was to restart was not",
        ),
    ],
)
def test_machine_ready_compares_the_boot(  # noqa: PLR0917 - a table's columns
    scene: Scene, ready: dict[str, Any], update: dict[str, Any], boot: str, verdict: Verdict, words: str
) -> None:
    scene.ready |= ready
    scene.update = update
    scene.node.files[BOOT] = boot.encode()
    said = scene.ask("machine-ready")
    assert said.verdict is verdict
    assert words in f"{said.evidence} {said.cause}"


@pytest.mark.parametrize("reboot", ["none", "request"])
def test_a_restart_that_waited_for_the_worker_is_the_one_that_counts(scene: Scene, reboot: str) -> None:
    scene.ready |= {"boot_id": "old", "reboot": "none"}
    scene.after = {**scene.ready, "boot_id": "new", "reboot": reboot}
    said = scene.ask("machine-ready")
    if reboot == "none":
        assert (said.verdict, said.cause[:26]) == (Verdict.FAILED, "it has restarted since its")
    else:
        assert (said.verdict, "the update restarted it" in said.evidence) == (Verdict.PASSED, True)


def test_machine_ready_sees_a_config_that_no_longer_holds(scene: Scene) -> None:
    del scene.node.resources[(LOADED_MODULES, "nvidia_uvm")]
    said = scene.ask("machine-ready")
    assert (said.verdict, said.remedy) == (Verdict.FAILED, "pulumi up --refresh --stack lab")
    assert said.cause == "kernel module nvidia_uvm is not loaded (still so after 1 s)"


def test_machine_ready_could_not_tell_without_a_record_a_boot_id_or_an_answer(scene: Scene) -> None:
    del scene.node.files[BOOT]
    said = scene.ask("machine-ready")
    assert (said.verdict, said.remedy) == (Verdict.UNKNOWN, "use a talosconfig with role os:admin")
    scene.node.files[BOOT] = b"new"
    scene.node.unavailable = 10_000
    said = scene.ask("machine-ready", 8)
    assert said.verdict is Verdict.UNKNOWN
    assert said.cause.endswith("(still so after 8 s)")
    scene.ready.clear()
    said = scene.ask("machine-ready")
    assert (said.verdict, said.remedy) == (Verdict.UNKNOWN, "pulumi up --stack lab")


def test_services_are_waited_for_and_the_one_that_stays_down_is_named(scene: Scene) -> None:
    scene.node.services = [service("ext-a"), service("ext-b", healthy=False), service("ext-c", "Finished")]
    said = scene.ask("services")
    assert said.verdict is Verdict.FAILED
    assert said.cause == "service ext-b is Running (no socket) (still so after 1 s)"
    assert said.remedy.endswith(" logs ext-b")
    back = scene.ask("services", 20, lambda: scene.node.services.__setitem__(1, service("ext-b")))
    assert (back.verdict, back.evidence) == (Verdict.PASSED, "ext-a Running, ext-b Running, ext-c Finished")


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (lambda node: node["status"]["nodeInfo"].update(bootID="old"), "what it says is of boot old, not of this one"),
        (lambda node: node["metadata"].update(labels={}), f"without label {LABEL[0]}"),
        (lambda node: node["status"].update(conditions=[]), "not Ready (no condition yet)"),
    ],
)
def test_node_ready_is_of_this_boot_and_has_the_label(
    scene: Scene, broken: Callable[[dict[str, Any]], None], words: str
) -> None:
    broken(scene.objects["/api/v1/nodes/lab-1"])
    said = scene.ask("node-ready")
    assert said.verdict is Verdict.FAILED
    assert said.cause == f"Node lab-1: {words} (still so after 1 s)"
    del scene.objects["/api/v1/nodes/lab-1"]
    assert scene.ask("node-ready").cause == "Node lab-1: not registered (still so after 1 s)"


def test_a_cluster_that_refuses_could_not_tell(scene: Scene) -> None:
    scene.around.api.status = 403
    seen: list[str] = []

    def asked(_rule: Gate) -> Asked:
        return scene.asked(scene.around.folder / "Pulumi.lab.yaml", 5)

    async def conversation() -> None:
        async with scene.around.served():
            seen.extend((await asyncio.to_thread(gates.ask, [Gate(name="node-ready")], asked))[1:])

    asyncio.run(conversation())
    assert seen[0] == "gate-unknown"
    assert "403" in seen[1]


def test_spec_fresh_fails_at_once_for_a_stale_spec_and_waits_for_one_that_is_missing(scene: Scene) -> None:
    path = "/var/run/cdi/nvidia.yaml"
    good = scene.node.files.pop(path)
    back = scene.ask("spec-fresh", 20, lambda: scene.node.files.update({path: good}))
    assert back.verdict is Verdict.PASSED
    scene.node.files["/proc/driver/nvidia/version"] = b"NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.1.2  x\n"
    began = time.monotonic()
    said = scene.ask("spec-fresh", 60)
    assert time.monotonic() - began < 20
    assert said.verdict is Verdict.FAILED
    assert said.cause.startswith("spec: the spec names driver 535.247.01 in /usr/")
    assert said.cause.endswith("the host has 550.1.2.")
    assert said.remedy.endswith("`talos-gpu doctor lab` says why")


def test_encode_measures_and_names_what_does_not_encode(scene: Scene) -> None:
    said = scene.ask("encode", 30)
    assert {name: figure.unit for name, figure in said.measured.items()} == {"hevc_nvenc": "x", "h264_nvenc": "x"}
    assert all(figure.value > 0 for figure in said.measured.values())
    assert said.evidence.endswith("no speed says anything about hardware")
    scene.mock.gpu.configure(encode_fail="30:20")
    said = scene.ask("encode", 30)
    assert said.verdict is Verdict.FAILED
    assert said.cause.startswith(
        "hevc_nvenc, h264_nvenc: The encoder began and then failed in the middle of the work: "
    )
    assert said.remedy.startswith("talosctl dmesg | grep -i xid")
    scene.mock.gpu.configure(codecs="none")
    assert scene.ask("encode", 30).verdict is Verdict.FAILED, "a GPU without an encoder passed"


def test_encode_waits_for_a_transcode_and_could_not_tell_when_its_time_is_over(scene: Scene) -> None:
    scene.mock.gpu.configure(encoder_load=40)
    said = scene.ask("encode", 8)
    assert said.verdict is Verdict.UNKNOWN
    assert "Not tried: the encoder is busy with" in said.cause
    assert said.cause.endswith("(still so after 8 s)")
    assert scene.ask("encode", 60, scene.mock.gpu.configure).verdict is Verdict.PASSED


def test_a_gate_that_waits_ends_when_nobody_wants_its_answer(scene: Scene) -> None:
    scene.mock.gpu.configure(encoder_load=40)
    began = time.monotonic()
    said = scene.ask("encode", 300, scene.stopped.set)
    assert (said.verdict, said.cause) == (Verdict.UNKNOWN, "interrupted")
    assert time.monotonic() - began < 30


def test_the_speeds_before_a_first_update_stand_beside_those_after_it(scene: Scene) -> None:
    known: list[gates.Figures] = []

    async def conversation() -> None:
        async with scene.around.served() as file:
            rules = gates.built_in()
            known.append(await asyncio.to_thread(gates.measure_before, rules, lambda _: scene.asked(file, 30), {}))

    asyncio.run(conversation())
    assert set(known[0]["encode"]) == {"hevc_nvenc", "h264_nvenc"}
    earlier = {"encode": {"hevc_nvenc": {"value": 5.0, "unit": "x"}}}
    assert gates.measure_before(gates.built_in(), lambda _: scene.asked(Path("/nowhere")), earlier) == earlier


@pytest.mark.parametrize(
    ("items", "words"),
    [
        ([deployment(0)], "Deployment tdarr: 0 of 1 available, 1 up to date"),
        ([deployment(observed=1)], "Deployment tdarr: its newest version is not looked at yet"),
        ([], "there is no Deployment app=tdarr-node-gpu,talos-nvidia-cdi/node=lab-1 in namespace media"),
    ],
)
def test_workload_ready_wants_the_newest_deployment_available(
    scene: Scene, items: list[dict[str, Any]], words: str
) -> None:
    scene.objects[DEPLOYMENTS] = {"items": items}
    said = scene.ask("workload-ready")
    assert (said.verdict, said.cause) == (Verdict.FAILED, f"{words} (still so after 1 s)")
    back = scene.ask("workload-ready", 20, lambda: scene.objects.update({DEPLOYMENTS: {"items": [deployment()]}}))
    assert back.verdict is Verdict.PASSED
