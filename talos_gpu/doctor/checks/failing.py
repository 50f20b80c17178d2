"""GPU pods that fail, by their states, events, logs and what somebody saved of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta

from talos_gpu.doctor.bundle import META, TEXTS
from talos_gpu.doctor.checks.installer import told
from talos_gpu.doctor.errors import Unread
from talos_gpu.doctor.explain import explain
from talos_gpu.doctor.finding import Found
from talos_gpu.doctor.known_around import UNREACHABLE
from talos_gpu.doctor.known_injection import TEXTS as OF_INJECTION
from talos_gpu.doctor.objects import (
    WORKER,
    Object,
    condition,
    events_about,
    gpu_pods,
    items,
    labels,
    name,
    ready,
    waiting,
    when,
)
from talos_gpu.doctor.view import View

_STARTING = timedelta(minutes=2)
"""How long a pod may be Pending without a word before that is a finding: images are pulled meanwhile."""
_OF_A_GPU = frozenset(known.name for known in OF_INJECTION) | {"handler-unknown", "runtimeclass-missing"}
"""What tells that a pod wants the GPU, where only an event about it is in the evidence."""
_WORDS = ("Cannot load lib", "CUDA_ERROR_", "OpenEncodeSessionEx", "EncodePicture", "Driver/library version mismatch")
_WORKED = re.compile(
    r"(?<!not )\b(?:encod|transcod|job)\w*\b.{0,80}\b(?:done|success\w*|completed?|finished)\b"
    r"|muxing overhead|\bLsize=",
    re.IGNORECASE,
)
"""Tdarr's and ffmpeg's ways to say that a file was made."""
_FAILED = re.compile(r"\b(?:fail\w*|error\w*|unsuccessful\w*|not)\b", re.IGNORECASE)
_UNREACHABLE = re.compile(UNREACHABLE)
_CONNECTED = re.compile(r"(?<!not )\bconnected\b|waiting for work", re.IGNORECASE)


def _logs(view: View) -> Iterator[tuple[Object, list[str]]]:
    for pod in gpu_pods(view):
        log = view.bundle.texts.get(f"cluster/logs/{name(pod).replace('/', '_')}.txt")
        if log is not None:
            yield pod, log.splitlines()


def server_unreachable(view: View) -> Iterator[str]:
    """Workers whose newest word about their server is that they do not reach it."""
    for pod, lines in _logs(view):
        last = ""
        for line in lines:
            of_worker = labels(pod).get("app") == WORKER and _UNREACHABLE.search(line) and "npm" not in line
            if of_worker or "tdarr-server" in {one.name for one in explain(line)}:
                last = line
            elif _CONNECTED.search(line):
                last = ""
        if last:
            server = view.meta.server_url if META in view.bundle.texts else None
            yield f"pod {name(pod)} ({server or 'server unknown'}): {last.strip()[:200]}"


def work_fails(view: View) -> Iterator[str | Found]:
    """Pods whose ffmpeg fails, and has made nothing since."""
    for pod, lines in _logs(view):
        failed: list[str] = []
        for line in lines:
            if any(word in line for word in _WORDS):
                failed.append(line)
            elif _WORKED.search(line) and not _FAILED.search(line):
                failed.clear()
        if failed:
            yield told(f"log of {name(pod)}: {failed[-1].strip()[:200]}", "\n".join(failed))


def fails(view: View) -> Iterator[str | Found]:
    """Pods that do not run, or what events and saved texts tell where no pods are in the evidence.

    A pod that is Ready runs, however often it failed before the spec was there at a boot.
    """
    found: list[str | Found] = list(_from_texts(view))
    try:
        found += _from_pods(view)
    except Unread:
        found += _from_events(view)
        if not found:
            raise
    yield from found


def _from_pods(view: View) -> Iterator[str | Found]:
    for pod in gpu_pods(view):
        if ready(pod) or not (waiting(pod) or _stuck(view, pod)):
            continue
        words = "\n".join([waiting(pod), *(str(event.get("message")) for event in events_about(view, pod))]).strip()
        shown = " ".join((words or f"it is {(pod.get('status') or {}).get('phase')}").split())
        yield told(f"pod {name(pod)}: {shown[-300:]}", words)


def _stuck(view: View, pod: Object) -> bool:
    """Whether it has ended badly, or is Pending and not only about to start."""
    status = pod.get("status") or {}
    if status.get("phase") != "Pending":
        return status.get("phase") == "Failed"
    if condition(pod, "PodScheduled").get("status") == "False" or any(events_about(view, pod)):
        return True
    since = status.get("startTime") or (pod.get("metadata") or {}).get("creationTimestamp")
    return since is None or view.now - datetime.fromisoformat(str(since)) > _STARTING


def _from_events(view: View) -> Iterator[str | Found]:
    """The newest warning about each pod that tells of an injection."""
    newest: dict[str, str] = {}
    if "cluster/events.json" not in view.bundle.texts:
        return
    for event in sorted(items(view, "events"), key=when):
        about, message = event.get("involvedObject") or {}, str(event.get("message"))
        known = {one.name for one in explain(message)}
        if about.get("kind") == "Pod" and event.get("type") == "Warning" and known & _OF_A_GPU:
            newest[f"{about.get('namespace')}/{about.get('name')}"] = message
    for who, message in newest.items():
        yield told(f"event about pod {who}: {' '.join(message.split())[-300:]}", message)


def _from_texts(view: View) -> Iterator[Found]:
    """Texts that are no other evidence: what is known of their words."""
    for file, text in view.bundle.folder(TEXTS).items():
        for one in explain(text)[:1]:
            yield Found(f"{file}: {one.words}", one.cause, one.remedy)


def not_ready(view: View) -> Iterator[str]:
    """Pods that run and whose readiness probe fails."""
    for pod in gpu_pods(view):
        running = (pod.get("status") or {}).get("phase") == "Running" and not waiting(pod)
        if running and not ready(pod):
            yield f"pod {name(pod)} runs and its readiness probe fails"
