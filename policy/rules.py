"""The rules: each takes a resource and what the stack says, and yields a sentence for each way in which it is broken.

Facts: which hook paths a release wants, siderolabs/extensions (the wrapper of Talos 1.8 to 1.12 refuses
`nvidia-cdi-hook`; from 1.13 there is no `.real`); a hostPath's type is checked by kubelet in its own mount namespace,
which on Talos is not the host's (siderolabs/talos runs kubelet in a container).
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml  # type: ignore[import-untyped] # its stubs are not among the pack's locked packages
from marks import Leaf
from values import UNKNOWN, at, containers, items, pod_of, texts

SYSTEM = "kube-system"
MACHINE_STATE = "pulumi-python:dynamic/talos:MachineState"
_NAMED = re.compile(r"Job/nvidia-cdi-generator-.+|DaemonSet/nvidia-cdi-init-.+")
_PINNED = re.compile(r".+@sha256:[0-9a-f]{64}")
_HOOK = re.compile(r"/(?:\S*/)?nvidia-cdi-hook(?:\.real)?")
_DEFAULT = re.compile(r"(?:^|\\n)[ \t]*default_runtime_name[ \t]*=", re.MULTILINE)
"""In a part within a machine config: a block of lines, or one line of quoted text."""
_VERSION = re.compile(r"v?(\d+)\.(\d+)\.")
_GPU_LABEL, _GPU = "node.kubernetes.io/gpu-vendor", "nvidia"
_PRIVATE = re.compile(r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----")
_BASE64 = re.compile(r"[A-Za-z0-9+/=\s]{64,}")
_HOLDS_SECRETS = ("kubernetes:core/v1:Secret", "talos:machine/configurationApply:ConfigurationApply")
_IN_A_SECRET = re.compile(r"(?:data|stringData)\b")
_IN_TALOS = re.compile(r"(?:machineConfigurationInput|clientConfiguration)(?:Wo)?\b|machineSecrets\b")
"""Inputs that are secret as a whole."""
_ENV = re.compile(r".*\bcontainers\[\d+\]\.env\[\d+\]|.*\binitContainers\[\d+\]\.env\[\d+\]")
_SAYS_SECRET = re.compile(
    r"(?i)(?:^|.*[_.-])(?:password|passwd|passphrase|token|secret|credentials?|(?:api|access|private|secret)_?key)$"
)


@dataclass(frozen=True)
class Resource:
    """One resource; values that are not known yet are `values.UNKNOWN`."""

    type: str
    name: str
    props: Mapping[str, Any]
    protect: bool = False

    @property
    def kind(self) -> str:
        """The last word of the type: `Deployment`, for a DeploymentPatch too."""
        return self.type.rpartition(":")[2].rpartition("/")[2].removesuffix("Patch")

    @property
    def object(self) -> str:
        """`Job/nvidia-cdi-generator-talos05`."""
        return f"{self.kind}/{at(self.props, 'metadata', 'name') or self.name}"

    @property
    def pod(self) -> dict[str, Any]:
        """The pod spec of a Kubernetes object; {} where it has none."""
        return pod_of(self.kind, self.props) if self.type.startswith("kubernetes:") else {}


@dataclass(frozen=True)
class Stack:
    """What the stack says, as its MachineState has it: the SDK gives a pack no stack configuration."""

    release: str = ""
    """Talos release whose facts hold: `v1.11.1`; "" before it is known."""
    default_runtime: bool = False
    """`cdi.runtime: default`: the stack's consent that every pod goes through the NVIDIA runtime."""

    def after(self, found: Resource) -> Stack:
        """What is known once a resource was seen. MachineState comes first: all else waits for it."""
        if found.type != MACHINE_STATE:
            return self
        return Stack(str(found.props.get("release") or ""), found.props.get("default_runtime") is True)


def privileged(found: Resource, also: tuple[str, ...] = ()) -> Iterator[str]:
    """Privileged pods and host folders are the generator's and the installer's alone, in kube-system.

    `also` names further objects, `media/Deployment/tdarr-node-gpu-talos05`.
    """
    namespace = at(found.props, "metadata", "namespace")
    if (namespace == SYSTEM and _NAMED.fullmatch(found.object)) or f"{namespace}/{found.object}" in also:
        return
    for name in ("hostPID", "hostNetwork", "hostIPC"):
        if found.pod.get(name):
            yield f"{namespace}/{found.object} asks for {name}"
    for container in containers(found.pod):
        if at(container, "securityContext", "privileged"):
            yield f"{namespace}/{found.object}: container {container.get('name')} is privileged"
    for name, host_path in _host_paths(found):
        yield f"{namespace}/{found.object}: volume {name} is the host's {at(host_path, 'path')}"


def unpinned(found: Resource) -> Iterator[str]:
    """The images of a pod that are named by tag."""
    for container in containers(found.pod):
        image = container.get("image")
        if isinstance(image, str) and not _PINNED.fullmatch(image):
            yield image


def default_runtime(found: Resource, stack: Stack) -> Iterator[str]:
    """No pod gets the GPU by containerd's default runtime unless the stack says `cdi.runtime: default`."""
    if stack.default_runtime:
        return
    config = found.props.get("machineConfigurationInput")
    if isinstance(config, str) and _DEFAULT.search(config):
        yield "the machine config makes an NVIDIA runtime containerd's default"
    for container in containers(found.pod):
        asks = any(item.get("name") == "NVIDIA_VISIBLE_DEVICES" for item in items(container.get("env")))
        if asks and not found.pod.get("runtimeClassName"):
            yield f"{found.object}: container {container.get('name')} asks for a GPU and the pod for no RuntimeClass"


def hook_paths(found: Resource, stack: Stack) -> Iterator[str]:
    """An installed spec has the hook paths that the release runs: patched on 1.8 to 1.12, unpatched from 1.13."""
    text, version = at(found.props, "data", "nvidia.yaml"), _VERSION.match(stack.release)
    if found.kind != "ConfigMap" or not isinstance(text, str) or version is None:
        return
    release = int(version[1]), int(version[2])
    for path in dict.fromkeys(_hooks(text)):
        patched = path.endswith(".real")
        if (1, 8) <= release <= (1, 12) and not patched:
            yield f"the spec runs {path}, which the wrapper of Talos {stack.release} refuses"
        if release >= (1, 13) and patched:
            yield f"the spec runs {path}, which Talos {stack.release} does not have"


def runtime_class(found: Resource) -> Iterator[str]:
    """A RuntimeClass of an NVIDIA runtime sends its pods to nodes with a GPU."""
    handler = found.props.get("handler")
    if found.kind != "RuntimeClass" or not str(handler).startswith("nvidia"):
        return
    selector = at(found.props, "scheduling", "nodeSelector")
    if selector is UNKNOWN:
        return
    if at(selector, _GPU_LABEL) not in (_GPU, UNKNOWN):
        yield f"{found.object} has no node selector {_GPU_LABEL}: {_GPU}: its pods may be sent to nodes without a GPU"


def job_limits(found: Resource) -> Iterator[str]:
    """A Job, a CronJob's too, ends: by a deadline, after so many tries, within memory."""
    path = {"Job": ("spec",), "CronJob": ("spec", "jobTemplate", "spec")}.get(found.kind)
    spec = at(found.props, *path) if path else None
    if not isinstance(spec, dict):
        return
    limits = ("activeDeadlineSeconds", "backoffLimit")
    yield from (f"{found.object} has no {key}" for key in limits if spec.get(key) is None)
    for container in containers(found.pod):
        if at(container, "resources", "limits", "memory") in (None, ""):
            yield f"{found.object}: container {container.get('name')} has no memory limit"


def host_path_type(found: Resource) -> Iterator[str]:
    """No hostPath has a type: kubelet on Talos checks it in its own mounts, where the folder is not."""
    for name, host_path in _host_paths(found):
        kind = at(host_path, "type")
        if kind and kind is not UNKNOWN:
            yield f"{found.object}: volume {name} has hostPath type {kind}"


def secrets(found: Resource, leaves: Sequence[Leaf] | None) -> Iterator[str]:
    """Secrets are marked secret, and no private key lies where its readers are not few.

    `leaves` are the resource's values with their marks; None where these were not seen: then only keys are looked for.
    """
    if found.type not in _HOLDS_SECRETS:
        for path, text in texts(dict(found.props)):
            if _PRIVATE.search(text) or any(_PRIVATE.search(_decoded(part)) for part in _BASE64.findall(text)):
                yield f"{found.type} {found.name}: {path} holds a private key; keep it in a Secret or a file"
    unmarked = [leaf for leaf in leaves or () if not leaf.marked and leaf.value not in (None, "")]
    told = dict.fromkeys(name for leaf in unmarked if (name := _secret_as_a_whole(found, leaf.path)))
    yield from (f"{found.type} {found.name}: {name} is not marked secret" for name in told)
    names = {leaf.path: leaf.value for leaf in leaves or () if leaf.path.endswith(".name")}
    for leaf in unmarked:
        holder, _, last = leaf.path.rpartition(".")
        name = str(names.get(f"{holder}.name", ""))
        if last == "value" and _ENV.fullmatch(holder) and _SAYS_SECRET.fullmatch(name):
            yield f"{found.object}: the env {name} is not marked secret; take it from a Secret, or mark it"


def _secret_as_a_whole(found: Resource, path: str) -> str:
    """The input that a path lies in, where all of that is secret; "" elsewhere."""
    if found.type == "kubernetes:core/v1:Secret":
        match = _IN_A_SECRET.match(path)
    else:
        match = _IN_TALOS.match(path) if found.type.startswith("talos:") else None
    return match[0] if match else ""


def protection(found: Resource, types: tuple[str, ...]) -> Iterator[str]:
    """Resources of these types are protected against destroy."""
    if found.type in types and not found.protect:
        yield f"{found.type} {found.name} is to be protected: set protect in its options"


def _host_paths(found: Resource) -> Iterator[tuple[str, Any]]:
    """(volume's name, hostPath) of a pod's volumes, or of a PersistentVolume."""
    for volume in items(found.pod.get("volumes")):
        if at(volume, "hostPath"):
            yield str(volume.get("name")), at(volume, "hostPath")
    if found.kind == "PersistentVolume" and at(found.props, "spec", "hostPath"):
        yield found.name, at(found.props, "spec", "hostPath")


def _hooks(spec: str) -> Iterator[str]:
    """The hook binaries that a spec runs, in YAML of any form or JSON; where it is none of these, by sight."""
    try:
        loaded = yaml.safe_load(spec)
    except yaml.YAMLError:
        yield from _HOOK.findall(spec)
        return
    yield from (text for path, text in texts(loaded) if path.endswith(".path") and _HOOK.fullmatch(text))


def _decoded(text: str) -> str:
    try:
        return base64.b64decode("".join(text.split()), validate=True).decode("latin-1")
    except (binascii.Error, ValueError):
        return ""
