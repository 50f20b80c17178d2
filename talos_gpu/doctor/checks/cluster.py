"""The node and its surroundings as the cluster has them."""

from __future__ import annotations

from collections.abc import Iterator

from talos_gpu.doctor.finding import Check, Found, Severity
from talos_gpu.doctor.objects import (
    GENERATOR,
    INSTALLER,
    NODE_LABEL,
    WORKER,
    Object,
    condition,
    gpu_pods,
    items,
    labels,
    lacks_pods,
    name,
    of_app,
    tolerates,
)
from talos_gpu.doctor.view import View
from talos_gpu.talos.machine_config import LABEL

_UNSCHEDULING = ("NoSchedule", "NoExecute")
_OWN_TAINTS = ("node.kubernetes.io/",)
_PRIVILEGED = (
    "kubectl label namespace NAME pod-security.kubernetes.io/enforce=privileged, or tdarr.namespace.pod_security"
)
_SEED_SPEC_KEEP = (("/var/cdi", ".keep"), ("/var/run/cdi", ".keep"))


def _node(view: View) -> Object:
    found: Object = view.json("cluster/node.json")
    return found


def _missing(view: View) -> Iterator[str]:
    if not _node(view):
        yield f"kubectl get node {view.node}: not found"


def _not_ready(view: View) -> Iterator[str]:
    node = _node(view)
    if node and condition(node, "Ready").get("status") != "True":
        ready = condition(node, "Ready")
        yield f"node {name(node)}: {ready.get('reason') or 'no condition'}: {ready.get('message') or ''}".rstrip(": ")


def _label(view: View) -> Iterator[str]:
    node = _node(view)
    if node and labels(node).get(LABEL[0]) != LABEL[1]:
        have = labels(node).get(LABEL[0])
        yield f"node {name(node)}: {LABEL[0]} is {have!r}" if have else f"node {name(node)} has no label {LABEL[0]}"


def _taints(view: View) -> Iterator[Found]:
    node = _node(view)
    taints = [
        taint
        for taint in (node.get("spec") or {}).get("taints") or []
        if taint.get("effect") in _UNSCHEDULING and not str(taint.get("key")).startswith(_OWN_TAINTS)
    ]
    for pod in _ours(view):
        for taint in taints:
            if not tolerates(pod, taint):
                value = f"={taint['value']}" if taint.get("value") else ""
                remedy = f"give {name(pod)} the toleration, or: kubectl taint node NODE {taint['key']}-"
                yield Found(f"{name(pod)} does not tolerate {taint['key']}{value}:{taint['effect']}", remedy=remedy)


def _ours(view: View) -> list[Object]:
    """Pod templates of our objects, named as their owners, and GPU pods without an owner of ours."""
    found: list[Object] = []
    for plural, app in (("daemonsets", INSTALLER), ("jobs", GENERATOR), ("deployments", WORKER)):
        for thing in of_app(items(view, plural), app, view.node):
            template = thing["spec"]["template"]
            found.append({"metadata": thing["metadata"], "spec": template.get("spec") or {}})
    apps = {INSTALLER, GENERATOR, WORKER}
    found += [pod for pod in gpu_pods(view) if labels(pod).get("app") not in apps]
    return found


def _class_missing(view: View) -> Iterator[str]:
    known = {str(thing["metadata"]["name"]) for thing in items(view, "runtimeclasses")}
    for used, who in _classes_used(view).items():
        if used not in known:
            yield f"{who} uses RuntimeClass {used}; there is {', '.join(sorted(known)) or 'none'}"


def _classes_used(view: View) -> dict[str, str]:
    """RuntimeClasses that this node uses, and who does; the others are other nodes', or left over."""
    wanted: dict[str, str] = {}
    if view.meta.runtime_class is not None and view.meta.namespace is not None:
        wanted[view.meta.runtime_class] = "the stack"
    for pod in gpu_pods(view):
        used = (pod.get("spec") or {}).get("runtimeClassName")
        if used:
            wanted.setdefault(used, name(pod))
    return wanted


def _handler(view: View) -> Iterator[str]:
    used = _classes_used(view)
    for thing in items(view, "runtimeclasses"):
        if thing["metadata"]["name"] not in used:
            continue
        handler = str(thing.get("handler"))
        # the extension's own part always has `nvidia`; it is not among the parts that are read everywhere
        if handler.startswith("nvidia") and handler != "nvidia" and handler not in view.runtimes:
            there = ", ".join(view.runtimes) or "none"
            yield f"RuntimeClass {name(thing)} has the handler {handler}; containerd has {there}"


def _pod_security(view: View) -> Iterator[Found]:
    told: dict[str, str] = {}
    spaces: dict[str, str] = {}
    for event in items(view, "events"):
        message = str(event.get("message") or "")
        about = event.get("involvedObject") or {}
        if "violates PodSecurity" in message and lacks_pods(view, about):
            who = f"{about.get('kind')} {about.get('namespace')}/{about.get('name')}"
            told[who], spaces[who] = message, str(about.get("namespace"))
    for who, message in told.items():
        yield Found(f"{who}: {message[:200]}", remedy=_PRIVILEGED.replace("NAME", spaces[who], 1))


def _seed_objects(view: View) -> Iterator[str | Found]:
    for pod in items(view, "pods"):
        if name(pod) == "kube-system/nvidia-cdi-generator":
            yield Found(
                "pod kube-system/nvidia-cdi-generator", remedy="kubectl -n kube-system delete pod nvidia-cdi-generator"
            )
    for thing in items(view, "daemonsets"):
        if name(thing) == "kube-system/nvidia-cdi-init" and NODE_LABEL not in labels(thing):
            remedy = "kubectl -n kube-system delete daemonset nvidia-cdi-init: it copies its own spec over ours"
            yield Found("DaemonSet kube-system/nvidia-cdi-init, made by hand", remedy=remedy)
    for folder, entry in _SEED_SPEC_KEEP:
        if view.exists(f"{folder}/{entry}"):
            yield Found(
                f"{folder}/{entry}", remedy=f"take the entry {folder}/.keep out of machine.files: it does nothing"
            )


_SYMPTOMS = ("pod-fails", "worker-not-ready")

CHECKS = (
    Check(
        "node-missing",
        Severity.ERROR,
        "The cluster does not know the node: another name, or it has never joined.",
        "kubectl get nodes; node.name in the stack must be the name that it shows",
        "Kubernetes, Nodes",
        _missing,
        (
            "worker-missing",
            "installer-missing",
            "installer-unscheduled",
            "installer-failing",
            "generator-failed",
            *_SYMPTOMS,
        ),
    ),
    Check(
        "node-not-ready",
        Severity.ERROR,
        "The node is not Ready, so nothing of what should run on it can be judged.",
        "kubectl describe node NODE; talosctl services kubelet",
        "Kubernetes, Nodes",
        _not_ready,
        ("installer-unscheduled", "installer-failing", "generator-failed", *_SYMPTOMS),
    ),
    Check(
        "label-missing",
        Severity.ERROR,
        "The node lacks the GPU label: generator, installer and worker are not scheduled, and a DaemonSet with 0 "
        "pods counts "
        "as ready.",
        "machine.nodeLabels: node.kubernetes.io/gpu-vendor: nvidia (pulumi up adds it)",
        "Kubernetes, DaemonSet status",
        _label,
        ("installer-unscheduled", "generator-failed", "spec-missing", "spec-source-missing", *_SYMPTOMS),
    ),
    Check(
        "taint-untolerated",
        Severity.ERROR,
        "The node has a taint that a pod does not tolerate.",
        "give the pod the toleration, or: kubectl taint node NODE KEY-",
        "Kubernetes, Taints and Tolerations",
        _taints,
        ("installer-unscheduled", "generator-failed", "spec-missing", "spec-source-missing", *_SYMPTOMS),
    ),
    Check(
        "runtimeclass-missing",
        Severity.ERROR,
        "The RuntimeClass is not in the cluster.",
        "cdi.runtime_class_owner: true in exactly one stack, then pulumi up --refresh",
        "Kubernetes, Runtime Class",
        _class_missing,
        _SYMPTOMS,
    ),
    Check(
        "runtimeclass-handler",
        Severity.ERROR,
        "The RuntimeClass names a handler that containerd does not have: `no runtime for ... is configured`.",
        "pulumi up writes the containerd part; the node restarts for it",
        "containerd internal/cri/server",
        _handler,
        _SYMPTOMS,
    ),
    Check(
        "podsecurity-refuses",
        Severity.ERROR,
        "PodSecurity refuses a pod: the namespace's level forbids hostPath, hostPID or privileged.",
        _PRIVILEGED,
        "Kubernetes, Pod Security Standards; Talos enforces baseline",
        _pod_security,
        ("installer-unscheduled", "generator-failed", "worker-missing", *_SYMPTOMS),
    ),
    Check(
        "seed-objects",
        Severity.WARNING,
        "Objects of the hand-made way are there beside ours, and work against them.",
        "remove what was made by hand",
        "the original write-up, steps 1 to 3",
        _seed_objects,
        ("spec-edited",),
    ),
)
