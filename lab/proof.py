"""The seed's verification steps, run for real against the lab, as claims with evidence."""

from __future__ import annotations

import asyncio
import re
import subprocess
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from lab import kubectl
from lab.errors import LabError
from lab.report import Claim, Verdict
from lab.stack import Stack
from talos_gpu.cdi import parse
from talos_gpu.errors import TalosGpuError
from talos_gpu.settings.stack_file import stack_settings
from talos_gpu.talos.client import MachineClient
from talos_gpu.talos.credentials import TalosConfig
from talos_gpu.talos.effective import effective_differences
from talos_gpu.talos.facts import NodeFacts, read_facts
from talos_gpu.talos.machine_config import GpuMachineConfig, wanted
from talos_gpu.talos.releases import Method, strategy_for

INSTALLED = "/var/run/cdi/nvidia.yaml"
SEED_SMI = "Quadro P2000, 535.247.01, 5120 MiB"


def encode_command(codec: str) -> list[str]:
    """The seed's encode test; 4:2:0 as every player wants it."""
    return [
        "ffmpeg",
        "-hide_banner",
        "-nostdin",
        "-hwaccel",
        "cuda",
        "-f",
        "lavfi",
        "-i",
        "testsrc=duration=2:size=1280x720:rate=30",
        "-pix_fmt",
        "yuv420p",
        "-c:v",
        codec,
        "-preset",
        "fast",
        "-f",
        "null",
        "-",
    ]


def read_node_file(stack: Stack, path: str) -> str:
    """A file of the node, through the Talos API."""

    async def read() -> bytes:
        credentials = TalosConfig.load(stack.lab.paths.talosconfig)
        async with MachineClient(credentials, stack.node.endpoint) as client:
            return await client.read(path)

    return asyncio.run(read()).decode()


def worker(stack: Stack) -> list[str]:
    """kubectl words that address the GPU worker."""
    return ["-n", "media", f"deploy/tdarr-node-gpu-{stack.node.name}"]


Step = Callable[[Stack], str]
"""Shows one claim; returns its evidence, raises LabError where it does not hold."""


def claims(stack: Stack) -> Iterator[Claim]:
    """Run every step; a step that fails is a failed claim, never an exception."""
    for identity, sentence, verdict, step in (
        (
            "machine",
            "the machine config was applied, the node rebooted where it had to, and it holds",
            Verdict.PRETENDED,
            _machine,
        ),
        ("installer", "the boot-time installer is ready and says what it did", Verdict.PROVEN, _installer),
        ("spec", "the installed spec runs the hook binaries past the wrapper", Verdict.PROVEN, _spec),
        (
            "injected",
            "CDI puts devices, driver libraries and env into the unprivileged worker",
            Verdict.PROVEN,
            _injected,
        ),
        ("nvidia-smi", "nvidia-smi in the worker names GPU, driver and memory", Verdict.PRETENDED, _smi),
        ("hevc_nvenc", "ffmpeg encodes HEVC by NVENC in the worker", Verdict.PRETENDED, _hevc),
        ("h264_nvenc", "ffmpeg encodes H.264 by NVENC in the worker", Verdict.PRETENDED, _h264),
        ("quiet", "a second look at node and cluster finds nothing to change", Verdict.PROVEN, _quiet),
    ):
        yield shown(stack, identity, sentence, verdict, step)


def shown(stack: Stack, identity: str, sentence: str, verdict: Verdict, step: Step) -> Claim:
    """The claim with what `step` read; where it does not hold, or cannot be looked at, it has failed and says why."""
    try:
        return Claim(identity, sentence, verdict, step(stack))
    except (LabError, TalosGpuError, subprocess.TimeoutExpired) as error:
        return Claim(identity, sentence, Verdict.FAILED, str(error))


def _machine(stack: Stack) -> str:
    settings = stack_settings(stack.config)
    want = wanted(
        strategy_for(settings.node.release),
        Method(settings.cdi.method),
        default_runtime=settings.cdi.runtime == "default",
    )
    labels = kubectl.get(stack.lab, "node", stack.node.name)["metadata"]["labels"]

    async def read() -> NodeFacts:
        async with MachineClient(TalosConfig.load(stack.lab.paths.talosconfig), stack.node.endpoint) as client:
            return await read_facts(client)

    return holds(stack.node.name, asyncio.run(read()), labels, want)


def holds(node: str, facts: NodeFacts, labels: Mapping[str, str], want: GpuMachineConfig) -> str:
    """What of the machine config is in force on a node; LabError with everything that is not."""
    lacks = effective_differences(facts, labels, want)
    _expect(not lacks, f"{node}: {'; '.join(lacks)}")
    there = "kernel modules, containerd part, udev rules and label are as wanted"
    return f"{node}, Talos {facts.talos}: {there}. Talos is pretended (Talos's own machinery module, not Talos)"


def _quiet(stack: Stack) -> str:
    done = stack.operation("preview", "--refresh", "--expect-no-changes", check=False)
    if done.returncode:
        raise LabError(
            " ".join((done.stdout + done.stderr)[-600:].split()), remedy="make up, which mends what has moved"
        )
    return "pulumi preview --refresh --expect-no-changes: exit 0"


def _expect(condition: object, message: str) -> None:
    if not condition:
        raise LabError(message)


def _installer(stack: Stack) -> str:
    selector = "app=nvidia-cdi-init"
    pods = kubectl.get(stack.lab, "pods", "-n", "kube-system", "-l", selector)["items"]
    mine = [pod for pod in pods if pod["spec"].get("nodeName") == stack.node.name]
    _expect(len(mine) == 1, f"{len(mine)} installer pods on {stack.node.name}")
    ready = kubectl.ready(mine[0])
    name = mine[0]["metadata"]["name"]
    log = kubectl.kubectl(stack.lab, "logs", "-n", "kube-system", name)
    _expect(ready, f"{name} is not ready:\n{log[-1000:]}")
    last = log.strip().splitlines()[-1] if log.strip() else "(no log)"
    return f"pod {name} Ready; log: {last}"


def _spec(stack: Stack) -> str:
    spec = parse(read_node_file(stack, INSTALLED))
    paths = sorted({hook.path for edits in _edits(spec) for hook in edits.hooks})
    _expect(paths == ["/usr/local/bin/nvidia-cdi-hook.real"], f"hook paths of {INSTALLED}: {paths}")
    names = ", ".join(device.name for device in spec.devices)
    return f"{INSTALLED}: devices {names}; every hook runs {paths[0]}"


def _edits(spec: Any) -> Iterator[Any]:  # noqa: ANN401 - talos_gpu.cdi.Spec
    yield spec.container_edits
    for device in spec.devices:
        yield device.container_edits


def _in_worker(stack: Stack, *words: str) -> str:
    done = kubectl.run(stack.lab, "exec", *worker(stack), "--", *words)
    said = (done.stdout + done.stderr).replace("\r", "\n").strip()
    _expect(done.returncode == 0, f"`{' '.join(words)}` ended with {done.returncode}:\n{said[-1500:]}")
    return said


def _injected(stack: Stack) -> str:
    said = _in_worker(
        stack,
        "bash",
        "-c",
        "ls /dev/nvidia0 /dev/nvidiactl /dev/nvidia-uvm && ls /usr/local/glibc/usr/lib/libcuda.so.* && "
        "tr '\\0' '\\n' < /proc/1/environ | grep ^NVIDIA_VISIBLE_DEVICES=",
    )
    _expect("NVIDIA_VISIBLE_DEVICES=void" in said.split(), f"the spec's env is not there: {said}")
    return " ".join(said.split())


def _smi(stack: Stack) -> str:
    said = _in_worker(stack, "nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv")
    _expect(SEED_SMI in said.splitlines(), f"nvidia-smi said: {said}")
    return f"{said.splitlines()[-1]} (mock NVML)"


def _hevc(stack: Stack) -> str:
    return _encode(stack, "hevc_nvenc")


def _h264(stack: Stack) -> str:
    return _encode(stack, "h264_nvenc")


def _encode(stack: Stack, codec: str) -> str:
    said = _in_worker(stack, *encode_command(codec))
    found = re.findall(r"frame=\s*(\d+).*?speed=\s*([\d.]+)x", said)
    _expect(found and int(found[-1][0]) == 60, f"not 60 frames:\n{said[-1500:]}")
    frames, speed = found[-1]
    return f"real ffmpeg, {frames} frames, speed {speed}x on mock NVENC (the seed's P2000: 5.24x HEVC, 5.69x H.264)"
