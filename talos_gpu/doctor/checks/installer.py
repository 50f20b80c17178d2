"""Generator and installer: scheduled, run, and what they say."""

from __future__ import annotations

import re
from collections.abc import Iterator

from talos_gpu.doctor.explain import explain
from talos_gpu.doctor.finding import Check, Found, Severity
from talos_gpu.doctor.objects import (
    GENERATOR,
    INSTALLER,
    Object,
    condition,
    events_about,
    items,
    name,
    of_app,
    ready,
    statuses,
    succeeded_by,
    waiting,
)
from talos_gpu.doctor.view import View

_PROBE = "Readiness probe failed: "
_BEHIND = re.compile(r"not ready: (\S+) is not the installed spec \(([^)]*)\)")
"""components/installer/install.sh: the spec in place is another than the one that it has installed last."""
_AFTER = re.compile(r"^\S+ (?:removed|left) ")
"""What it says last of a refusal: not why it refused, but what it then did."""


def _last_words(view: View, pod: Object) -> str:
    """Why a pod waits, the last line of its log where that is an error, what its probe says, or that last line."""
    if waiting(pod):
        return waiting(pod)
    log = view.bundle.texts.get(f"cluster/logs/{name(pod).replace('/', '_')}.txt", "")
    lines = [line.strip() for line in log.splitlines() if line.strip() and not _AFTER.match(line)]
    if lines and re.search("REFUSED|ERROR", lines[-1]):
        return lines[-1]
    events = [str(event.get("message")) for event in events_about(view, pod)]
    said = [message.removeprefix(_PROBE).strip() for message in events if message.startswith(_PROBE)]
    if said and said[-1]:
        return said[-1]
    return lines[-1] if lines else (events or [str((pod.get("status") or {}).get("phase"))])[-1]


def told(evidence: str, words: str) -> str | Found:
    """The evidence with the cause that its words tell, where they are known."""
    known = explain(words)
    return Found(evidence, known[0].cause, known[0].remedy) if known else evidence


def _installers(view: View) -> list[Object]:
    pods = items(view, "pods")
    return [pod for pod in of_app(pods, INSTALLER, view.node) if not succeeded_by(pod, pods)]


def _missing(view: View) -> Iterator[str]:
    if view.meta.method == "spec" and not of_app(items(view, "daemonsets"), INSTALLER, view.node):
        yield f"no DaemonSet with app={INSTALLER} for {view.node}"


def _unscheduled(view: View) -> Iterator[str]:
    for thing in of_app(items(view, "daemonsets"), INSTALLER, view.node):
        if not (thing.get("status") or {}).get("desiredNumberScheduled"):
            yield f"DaemonSet {name(thing)} wants 0 pods, and so counts as ready"


def _not_ready(view: View) -> Iterator[tuple[Object, str]]:
    for pod in _installers(view):
        if not ready(pod):
            yield pod, _last_words(view, pod)


def _failing(view: View) -> Iterator[str | Found]:
    for pod, words in _not_ready(view):
        if not _BEHIND.search(words):
            restarts = sum(status.get("restartCount", 0) for status in statuses(pod))
            again = f", {restarts} restarts" if restarts else ""
            yield told(f"pod {name(pod)} is not ready{again}: {words}", words)


def _behind(view: View) -> Iterator[str]:
    for pod, words in _not_ready(view):
        if _BEHIND.search(words):
            yield f"pod {name(pod)}: {words}"


def _generator(view: View) -> Iterator[str | Found]:
    pods = of_app(items(view, "pods"), GENERATOR, view.node)
    for job in of_app(items(view, "jobs"), GENERATOR, view.node):
        failed = condition(job, "Failed")
        if failed.get("status") != "True":
            continue
        words = next((_last_words(view, pod) for pod in pods if not ready(pod)), "")
        why = words or str(failed.get("message") or failed.get("reason"))
        yield told(f"Job {name(job)} failed: {why}", why)


CHECKS = (
    Check(
        "generator-failed",
        Severity.ERROR,
        "The generator did not make a spec; its last line says why.",
        "mend what its words name, then pulumi up --refresh",
        "docs/architecture.md",
        _generator,
        ("spec-source-missing", "spec-missing", "installer-missing", "pod-fails", "worker-not-ready"),
    ),
    Check(
        "installer-missing",
        Severity.ERROR,
        "The stack's installer is not in the cluster: nothing puts the spec back after a boot.",
        "pulumi up --refresh",
        "docs/architecture.md",
        _missing,
        ("spec-missing", "pod-fails", "worker-not-ready"),
    ),
    Check(
        "installer-unscheduled",
        Severity.ERROR,
        "The installer is not scheduled on the node. A DaemonSet with 0 wanted pods counts as ready.",
        "kubectl -n kube-system describe daemonset -l app=nvidia-cdi-init; node label, taints and name",
        "Kubernetes, DaemonSet status",
        _unscheduled,
        ("spec-missing", "pod-fails", "worker-not-ready"),
    ),
    Check(
        "installer-failing",
        Severity.ERROR,
        "The installer runs and is not ready: it installs no spec that does not fit the host, and says which fact "
        "moved.",
        "kubectl -n kube-system logs -l app=nvidia-cdi-init -c installer; then pulumi up --refresh",
        "docs/architecture.md",
        _failing,
        ("spec-missing", "pod-fails", "worker-not-ready"),
    ),
    Check(
        "installer-behind",
        Severity.WARNING,
        "The spec in place is not the one that the installer has installed, and it has not put it back yet.",
        "wait for some seconds; if it stays so: kubectl -n kube-system logs -l app=nvidia-cdi-init -c installer",
        "components/installer/install.sh",
        _behind,
        ("pod-older-than-spec",),
    ),
)
