"""What of the GPU is inside the container: device nodes, driver libraries, environment."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from talos_gpu.verify.report import Outcome, Proof
from talos_gpu.verify.said import Said

NAME = "inside"
PROBE = r"""
for d in /dev/nvidia*; do
  [ -c "$d" ] || continue
  opened=$({ : <"$d"; } 2>&1) && opened=
  printf 'node %s %s %s\n' "$d" "$(stat -c '%t:%T:%a' "$d")" "$opened"
done
{ while read -r _ path _; do
    case $path in */libcuda.so*|*/libnvidia-encode.so*|*/libnvcuvid.so*|*/libnvidia-ml.so*) echo "$path";; esac
  done </proc/mounts
  old=$IFS; IFS=:
  for dir in ${LD_LIBRARY_PATH:-}; do
    for path in "$dir"/libcuda.so.* "$dir"/libnvidia-encode.so.* "$dir"/libnvcuvid.so.* "$dir"/libnvidia-ml.so.*; do
      [ -f "$path" ] && echo "$path"
    done
  done
  IFS=$old
} | while read -r path; do
  base=${path##*/}
  if [ -e "${path%/*}/${base%%.so*}.so.1" ]; then echo "library $path linked"; else echo "library $path bare"; fi
done
{ tr '\0' '\n' </proc/1/environ 2>/dev/null || env; } | while read -r line; do
  case $line in NVIDIA_*) echo "env $line";; esac
done
while read -r major name; do
  case $name in nvidia*) echo "major $name $major";; esac
done </proc/devices
for tool in timeout ffmpeg nvidia-smi; do command -v $tool >/dev/null && echo "tool $tool"; done
exit 0
"""
"""POSIX sh with stat, tr; read-only. A line a fact."""
COMMAND = ("sh", "-c", PROBE)

NODES = ("/dev/nvidiactl", "/dev/nvidia-uvm")
"""Needed beside at least one /dev/nvidiaN."""
DEVICES, CAPABILITIES = "NVIDIA_VISIBLE_DEVICES", "NVIDIA_DRIVER_CAPABILITIES"
NEEDED = ("compute", "video")
"""Capabilities: CUDA's libraries, and NVENC's with NVDEC's."""
LIBRARIES = ("libnvidia-ml", "libcuda", "libnvidia-encode", "libnvcuvid")
_DRIVERS = {"/dev/nvidia-uvm": ("nvidia-uvm",), "/dev/nvidia-uvm-tools": ("nvidia-uvm",)}
"""Device node -> names of its driver in /proc/devices; the others' major is always 195."""
_GPU_NODE = re.compile(r"/dev/nvidia\d+$")
_REFUSED = re.compile(r"Operation not permitted|Permission denied")
_VERSION = re.compile(r"\.so\.(\d+\.\d+(?:\.\d+)?)$")


@dataclass(frozen=True, slots=True)
class DeviceNode:
    """A device node in the container."""

    major: int
    minor: int
    mode: str
    """Octal: `666`."""
    refused: bool
    """Opening it is refused by the device cgroup or by its mode."""


@dataclass(frozen=True, slots=True)
class Inside:
    """What the probe found."""

    nodes: Mapping[str, DeviceNode] = field(default_factory=dict)
    libraries: Mapping[str, str] = field(default_factory=dict)
    """Driver version by library (`libcuda` -> `535.247.01`); "" where its file names none."""
    unlinked: tuple[str, ...] = ()
    """Libraries without their `.so.1` link."""
    env: Mapping[str, str] = field(default_factory=dict)
    majors: Mapping[str, int] = field(default_factory=dict)
    """The running kernel's, by driver name."""
    tools: frozenset[str] = frozenset()

    def missing_nodes(self) -> list[str]:
        """Needed device nodes that are not there."""
        missing = [path for path in NODES if path not in self.nodes]
        return missing if any(map(_GPU_NODE.match, self.nodes)) else [*missing, "/dev/nvidia0"]

    def refused_nodes(self) -> list[str]:
        """Device nodes that may not be opened."""
        return [path for path, node in self.nodes.items() if node.refused]

    def stale_nodes(self, host: Mapping[str, int] | None) -> list[tuple[str, int, int]]:
        """(path, major there, major of the kernel); `host` is the node's /proc/devices, None: the container's view."""
        kernel = host or self.majors
        stale = []
        for path, names in _DRIVERS.items():
            have = next((kernel[name] for name in names if name in kernel), None)
            if path in self.nodes and have is not None and self.nodes[path].major != have:
                stale.append((path, self.nodes[path].major, have))
        return stale


def parse(text: str) -> Inside:
    """The probe's output; lines that are none of its are passed over."""
    nodes: dict[str, DeviceNode] = {}
    linked: dict[str, bool] = {}
    libraries: dict[str, str] = {}
    env: dict[str, str] = {}
    majors: dict[str, int] = {}
    tools: set[str] = set()
    for line in text.splitlines():
        kind, _, rest = line.partition(" ")
        words = rest.split(" ", 2)
        match kind, words:
            case "node", [path, numbers, *opened] if numbers.count(":") == 2:
                major, minor, mode = numbers.split(":")
                refused = bool(_REFUSED.search(" ".join(opened)))
                nodes[path] = DeviceNode(int(major, 16), int(minor, 16), mode, refused)
            case "library", [path, how]:
                name = path.rsplit("/", 1)[-1].partition(".so")[0]
                version = _VERSION.search(path)
                libraries[name] = version[1] if version else libraries.get(name, "")
                linked[name] = linked.get(name, False) or how == "linked"
            case "env", _:
                key, _, value = rest.partition("=")
                env[key] = value
            case "major", [name, number] if number.isdecimal():
                majors[name] = int(number)
            case "tool", [name]:
                tools.add(name)
            case _:
                pass
    unlinked = tuple(name for name in libraries if not linked[name])
    return Inside(nodes, libraries, unlinked, env, majors, frozenset(tools))


_RESTART = "restart the pod after the spec is right: kubectl rollout restart deployment/NAME"
_REGENERATE = "generate and install the CDI spec anew (pulumi up --refresh), then restart the pod"


def judge(said: Said, driver: str, host_majors: Mapping[str, int] | None) -> Proof:
    """Devices, libraries, env against the stack's `driver` and the host's majors; every fault in a sentence of its own.

    The cause is that of the deepest.
    """
    found = parse(said.stdout)
    if said.rc != 0:
        sentence = f"The container could not be looked into: {said.words.splitlines()[-1] if said.words else said.rc}"
        return Proof(NAME, Outcome.UNKNOWN, sentence, "probe-failed", seconds=said.seconds)
    evidence = tuple(line for line in said.stdout.splitlines() if not line.startswith("tool "))
    if faults := _faults(found, driver, host_majors):
        sentence = " ".join(fault.sentence for fault in faults)
        remedy = "; ".join(dict.fromkeys(fault.remedy for fault in faults))
        return Proof(NAME, Outcome.DISPROVEN, sentence, faults[0].cause, remedy, evidence, "", said.seconds)
    gpus = sum(1 for path in found.nodes if _GPU_NODE.match(path))
    sentence = (
        f"{gpus} GPU{'s' if gpus != 1 else ''}, its device nodes and driver libraries {driver} are in the container."
    )
    return Proof(NAME, Outcome.PROVEN, sentence, evidence=evidence, seconds=said.seconds)


@dataclass(frozen=True, slots=True)
class _Fault:
    cause: str
    sentence: str
    remedy: str


def _faults(found: Inside, driver: str, host_majors: Mapping[str, int] | None) -> list[_Fault]:
    """The faults, the deepest first."""
    faults: list[_Fault] = []
    missing = found.missing_nodes()
    if not found.nodes and not found.libraries:
        void = found.env.get(DEVICES) == "void"
        why = "though the spec's env is there" if void else "the pod runs without the NVIDIA runtime"
        remedy = "give the pod the stack's runtimeClassName and NVIDIA_VISIBLE_DEVICES=all, and restart it"
        return [_Fault("nothing-injected", f"Nothing of the GPU is in the container: {why}.", remedy)]
    if missing:
        cause = "uvm-missing" if missing == ["/dev/nvidia-uvm"] else "node-missing"
        also = " nvidia-smi works without it, CUDA does not." if cause == "uvm-missing" else ""
        faults.append(_Fault(cause, f"{', '.join(missing)} {_is(missing)} not in the container.{also}", _REGENERATE))
    for path, have, kernel in found.stale_nodes(host_majors):
        sentence = (
            f"{path} in the container has major {have}, the kernel's is now {kernel}: the spec or the pod is older "
            "than the last boot; nvidia-smi does not notice that, CUDA dies of it."
        )
        faults.append(_Fault("uvm-stale", sentence, _REGENERATE))
    if refused := found.refused_nodes():
        sentence = f"{', '.join(refused)} may not be opened: the device cgroup or the node's mode refuses it."
        faults.append(_Fault("node-refused", sentence, _RESTART))
    if absent := [name for name in LIBRARIES if name not in found.libraries]:
        sentence = f"{', '.join(f'{name}.so' for name in absent)} {_is(absent)} not in the container."
        faults.append(_Fault("library-missing", sentence, _REGENERATE))
    if found.unlinked:
        sentence = (
            f"{', '.join(found.unlinked)}: mounted without the .so.1 link that programs ask for; the spec's hooks did "
            "not run."
        )
        faults.append(_Fault("library-unlinked", sentence, _REGENERATE))
    versions = sorted({version for version in found.libraries.values() if version} - {driver})
    if versions:
        sentence = (
            f"The driver libraries in the container are of version {', '.join(versions)}, the stack says {driver}."
        )
        remedy = "correct node.gpu.driver in the stack, or " + _REGENERATE
        faults.append(_Fault("library-version", sentence, remedy))
    return [*faults, *_unasked(found.env)]


def _unasked(env: Mapping[str, str]) -> Iterator[_Fault]:
    """What the proofs need and the environment does not ask for; CDI leaves `void` and obeys no capabilities."""
    devices, given = env.get(DEVICES), env.get(CAPABILITIES)
    if devices == "none":
        sentence = f"{DEVICES}=none asks for no GPU: what is here came by another way than the stack's."
        yield _Fault("env-devices", sentence, f"set {DEVICES}=all, and restart the pod")
    if given is None or devices == "void":
        return
    asked = {word.strip() for word in given.split(",")}
    lacking = [] if "all" in asked else [name for name in NEEDED if name not in asked]
    if lacking:
        sentence = f"{CAPABILITIES}={given} lacks {', '.join(lacking)}, which legacy injection obeys."
        yield _Fault("env-capabilities", sentence, f"set {CAPABILITIES}=compute,video,utility, and restart the pod")


def _is(names: list[str]) -> str:
    return "is" if len(names) == 1 else "are"
