"""The worker and other GPU pods."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

from talos_gpu.doctor.checks.failing import fails, not_ready, server_unreachable, work_fails
from talos_gpu.doctor.checks.spec import INSTALLED
from talos_gpu.doctor.finding import Check, Found, Severity
from talos_gpu.doctor.objects import (
    NODE_LABEL,
    SPEC_DIGEST,
    WORKER,
    Object,
    containers,
    env,
    gpu_pods,
    items,
    labels,
    name,
    visible,
    waiting,
)
from talos_gpu.doctor.view import View, numbers

_PULL = ("ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName")
_FFMPEG_NEEDS = {7: (570, 0), 6: (520, 56)}
"""ffmpegVersion -> least driver: HaveAGitGat/Tdarr#797 (6: 520.56.06), HandBrake#6599 (NVENC API 13: 570)."""
_SERVER_IMAGE = "tdarr"
_SERVER_S_OWN = ("/app", "/config", "/configs", "/dev", "/etc", "/var")
"""Folders of the server's that no worker needs; whatever else it mounts holds media or work in progress."""


def _without_runtime(view: View) -> Iterator[str]:
    default = str(view.cri.get("containerd", {}).get("default_runtime_name", ""))
    if default.startswith("nvidia"):
        return
    for pod in gpu_pods(view):
        if visible(pod) is not None and not (pod.get("spec") or {}).get("runtimeClassName"):
            yield f"pod {name(pod)} has NVIDIA_VISIBLE_DEVICES={visible(pod)} and no runtimeClassName"


def _in_memory(view: View) -> Iterator[str]:
    for pod in gpu_pods(view):
        used = (pod.get("spec") or {}).get("runtimeClassName")
        plain = not (visible(pod) or "").startswith("runtime.nvidia.com/")
        if view.meta.method == "jit" and used == view.meta.runtime_class and visible(pod) is not None and plain:
            said = f"NVIDIA_VISIBLE_DEVICES={visible(pod)}"
            yield f"pod {name(pod)} has {said}; method jit wants runtime.nvidia.com/gpu=all"


def _older(view: View) -> Iterator[Found]:
    spec = next((spec for spec in view.specs if spec.path == INSTALLED), None)
    if spec is None:
        return
    digest = hashlib.sha256(spec.text.encode()).hexdigest()
    for pod in gpu_pods(view):
        have = (pod["metadata"].get("annotations") or {}).get(SPEC_DIGEST)
        if have is not None and have != digest:
            namespace, app = pod["metadata"].get("namespace"), labels(pod).get("app")
            remedy = f"kubectl -n {namespace} delete pod {pod['metadata'].get('name')}: its owner makes it anew"
            if app == WORKER:
                remedy = f"kubectl -n {namespace} rollout restart deployment -l app={WORKER},{NODE_LABEL}=NODE"
            yield Found(f"pod {name(pod)} was made with spec {have[:12]}, installed is {digest[:12]}", remedy=remedy)


def _unpullable(view: View) -> Iterator[str]:
    for pod in items(view, "pods"):
        words = waiting(pod)
        if words.startswith(_PULL) and (pod in gpu_pods(view) or str(labels(pod).get("app")).startswith("nvidia-cdi")):
            yield f"pod {name(pod)}: {words[:200]}"


def _unpinned(view: View) -> Iterator[str]:
    for image in view.meta.unpinned:
        yield f"{image} is named by tag"


def _ffmpeg(view: View) -> Iterator[str]:
    if view.driver is None:
        return
    for pod in gpu_pods(view):
        for container in containers(pod):
            asked = env(container).get("ffmpegVersion", "")
            needs = _FFMPEG_NEEDS.get(int(asked)) if asked.isdecimal() else None
            if needs is not None and numbers(view.driver)[:2] < needs:
                least = f"{needs[0]}.{needs[1]}"
                yield f"pod {name(pod)} has ffmpegVersion={asked}, driver {view.driver} is older than {least}"


def _paths(view: View) -> Iterator[str]:
    servers = [pod for pod in items(view, "pods") if _is_server(pod)]
    for pod in gpu_pods(view):
        if labels(pod).get("app") != WORKER or not servers:
            continue
        have = _mounts(pod)
        for path in sorted(_mounts(servers[0])):
            if not _below(path, _SERVER_S_OWN) and not _below(path, have):
                yield f"{name(servers[0])} has {path}, {name(pod)} has {', '.join(sorted(have)) or 'no volume'}"


def _below(path: str, folders: Iterable[str]) -> bool:
    return any(path == folder or path.startswith(f"{folder}/") for folder in folders)


def _is_server(pod: Object) -> bool:
    images = [str(container.get("image")) for container in containers(pod)]
    return any(image.rsplit("/", 1)[-1].split(":")[0].split("@")[0] == _SERVER_IMAGE for image in images)


def _mounts(pod: Object) -> set[str]:
    return {str(mount["mountPath"]) for container in containers(pod) for mount in container.get("volumeMounts") or []}


def _absent(view: View) -> Iterator[str]:
    namespace = view.meta.namespace
    if namespace is None:
        return
    if not [pod for pod in gpu_pods(view) if labels(pod).get("app") == WORKER]:
        yield f"no pod with app={WORKER} for {view.node} in {namespace}"


def _plugin(view: View) -> Iterator[str]:
    for thing in items(view, "daemonsets"):
        status = thing.get("status") or {}
        plugin = "nvidia-device-plugin" in name(thing) and "-mps-" not in name(thing)  # MPS is off unless asked for
        if plugin and not status.get("desiredNumberScheduled"):
            yield f"DaemonSet {name(thing)} wants 0 pods"


CHECKS = (
    Check(
        "pod-without-runtime",
        Severity.ERROR,
        "The pod asks for the GPU by env, and nothing reads it: it does not run through the NVIDIA runtime.",
        "set runtimeClassName: nvidia-cdi (method spec) or nvidia in the pod",
        "nvidia-container-toolkit, CDI mode",
        _without_runtime,
        ("worker-not-ready", "work-fails", "pod-fails"),
    ),
    Check(
        "env-for-other-method",
        Severity.ERROR,
        "With method jit the env must name runtime.nvidia.com/gpu; the plain value is unresolvable or falls back to "
        "legacy.",
        "NVIDIA_VISIBLE_DEVICES=runtime.nvidia.com/gpu=all",
        "nvidia-container-toolkit v1.17.8 internal/modifier/cdi.go; seen on an H100",
        _in_memory,
        ("pod-fails", "worker-not-ready", "legacy-blinded", "work-fails"),
    ),
    Check(
        "pod-older-than-spec",
        Severity.WARNING,
        "The pod was made before the spec that is installed now: CDI acts when a container is made, not later.",
        "kubectl -n NAMESPACE rollout restart deployment/NAME",
        "the original write-up, Troubleshooting",
        _older,
        ("worker-not-ready", "work-fails"),
    ),
    Check(
        "image-unpullable",
        Severity.ERROR,
        "An image cannot be pulled.",
        "kubectl describe pod shows the registry's words; pin an image by digest that is there",
        "Kubernetes, Images",
        _unpullable,
        ("pod-fails", "installer-failing", "generator-failed", "spec-missing", "spec-source-missing"),
    ),
    Check(
        "ffmpeg-too-new",
        Severity.ERROR,
        "This ffmpeg needs a newer NVENC API than the driver has.",
        'tdarr.ffmpeg_version: "6" for driver 535; 7 needs driver 570',
        "HaveAGitGat/Tdarr#797, HandBrake#6599",
        _ffmpeg,
        ("work-fails",),
    ),
    Check(
        "work-fails",
        Severity.ERROR,
        "ffmpeg fails on the GPU in the worker.",
        "talos-gpu verify STACK proves each part by itself",
        "FFmpeg libavcodec/nvenc.c",
        work_fails,
    ),
    Check(
        "tdarr-server-unreachable",
        Severity.ERROR,
        "The worker cannot reach its Tdarr server.",
        "tdarr.server_url; kubectl get svc,endpoints of the server",
        "HaveAGitGat/Tdarr, node settings",
        server_unreachable,
    ),
    Check(
        "tdarr-paths-differ",
        Severity.ERROR,
        "Server and worker mount their media or temp folders at different paths: the worker does not find what it is "
        "given.",
        "mount them in tdarr.volumes at the server's own paths",
        "HaveAGitGat/Tdarr, path translators",
        _paths,
    ),
    Check(
        "worker-missing",
        Severity.ERROR,
        "The stack's worker has no pod.",
        "pulumi up; kubectl -n NAMESPACE describe deployment tells why it makes none",
        "Kubernetes, Deployments",
        _absent,
    ),
    Check(
        "pod-fails",
        Severity.ERROR,
        "A GPU pod does not start, for a reason that is not known here.",
        "kubectl describe pod; the words are new: please report them",
        "Kubernetes, Pod Lifecycle",
        fails,
        ("worker-not-ready",),
    ),
    Check(
        "worker-not-ready",
        Severity.ERROR,
        "A GPU pod runs and is not ready.",
        "talos-gpu verify STACK proves each part by itself",
        "docs/verify.md",
        not_ready,
    ),
    Check(
        "device-plugin-unready",
        Severity.WARNING,
        "The NVIDIA device plugin is installed and not scheduled: from 0.15 it wants the label "
        "nvidia.com/gpu.present=true.",
        "kubectl label node NODE nvidia.com/gpu.present=true, or remove the plugin: the RuntimeClass way needs none",
        "talos#12103, talos#9187",
        _plugin,
    ),
    Check(
        "image-unpinned",
        Severity.NOTE,
        "An image is named by tag: what runs can change without a change of the stack.",
        "talos-gpu images pin STACK",
        "docs/architecture.md",
        _unpinned,
    ),
)
