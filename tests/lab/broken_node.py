"""Means to break the running lab and to mend it: a file of the node, an object of the cluster, a process."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from lab import kubectl
from lab.cluster.pki import write_private
from talos_gpu.talos.client import MachineClient
from talos_gpu.talos.credentials import TalosConfig
from talos_gpu.talos.messages import ApplyMode
from tests.lab.conftest import MainJob, wait_for
from tests.lab.pods import start_pod
from tests.lab.test_drift import installer_processes
from tests.lab.test_rotation import talosconfig_valid

SOURCE, INSTALLED = "/var/cdi/nvidia.yaml", "/run/cdi/nvidia.yaml"
PARTS = "/etc/cri/conf.d"
PART, MERGED = f"{PARTS}/20-customization.part", f"{PARTS}/cri.toml"
UDEV = "/usr/lib/udev/rules.d/99-talos.rules"


@contextmanager
def holds(job: MainJob, path: str, text: str | None) -> Iterator[None]:
    """A file of the node has another text, or is not there (None); then it is as before, or not there as before."""
    file = job.inside(path)
    before = file.read_bytes() if file.exists() else None
    mode = file.stat().st_mode if before is not None else 0o644
    _put(file, None if text is None else text.encode(), mode)
    try:
        yield
    finally:
        _put(file, before, mode)


def _put(file: Path, content: bytes | None, mode: int) -> None:
    """In place where the file is there: what is bind-mounted stays the same inode."""
    if content is None:
        file.unlink(missing_ok=True)
    else:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        file.chmod(mode & 0o7777)


@contextmanager
def edited(job: MainJob, path: str, old: str, new: str) -> Iterator[None]:
    """A file of the node with `new` for every `old`."""
    text = job.inside(path).read_text()
    assert old in text, f"{path} has no {old!r}:\n{text}"
    with holds(job, path, text.replace(old, new)):
        yield


@contextmanager
def appended(job: MainJob, path: str, text: str) -> Iterator[None]:
    """A file of the node with more at its end."""
    with holds(job, path, job.inside(path).read_text() + text):
        yield


@contextmanager
def paused(job: MainJob) -> Iterator[None]:
    """The installer hangs, and repairs nothing meanwhile."""
    running = installer_processes(job)
    assert running
    for process in running:
        os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        for process in running:
            os.kill(process, signal.SIGCONT)


@contextmanager
def installed(job: MainJob, change: Callable[[str], str | None]) -> Iterator[None]:
    """Another spec is installed, behind the back of an installer that hangs."""
    with paused(job), holds(job, INSTALLED, change(job.inside(INSTALLED).read_text())):
        yield


@contextmanager
def part_says(job: MainJob, old: str, new: str) -> Iterator[None]:
    """The part with `new` for `old`, and so containerd's configuration, as the boot after it merges that."""
    with edited(job, PART, old, new), edited(job, MERGED, old.replace('"', "'"), new.replace('"', "'")):
        yield


@contextmanager
def device(job: MainJob, name: str) -> Iterator[None]:
    """A device node of the GPU's is gone."""
    node = job.inside(f"/dev/{name}")
    there = node.stat()
    node.unlink()
    try:
        yield
    finally:
        os.mknod(node, there.st_mode, there.st_rdev)
        node.chmod(there.st_mode & 0o777)


@contextmanager
def applied(job: MainJob, *documents: Mapping[str, Any]) -> Iterator[None]:
    """Objects in the cluster, for a while."""
    listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(documents)})
    kubectl.kubectl(job.lab, "apply", "-f", "-", stdin=listed)
    try:
        yield
    finally:
        kubectl.kubectl(job.lab, "delete", "-f", "-", "--ignore-not-found", "--grace-period=0", "--force", stdin=listed)


@contextmanager
def deleted(job: MainJob, *words: str) -> Iterator[None]:
    """An object of the cluster is gone, what it owns stays; then it is made again as it was."""
    thing = kubectl.get(job.lab, *words)
    kubectl.kubectl(job.lab, "delete", *words, "--cascade=orphan")
    try:
        yield
    finally:
        for key in ("uid", "resourceVersion", "creationTimestamp", "generation", "managedFields"):
            thing["metadata"].pop(key, None)
        thing.pop("status", None)
        kubectl.kubectl(job.lab, "create", "-f", "-", stdin=json.dumps(thing))


@contextmanager
def pod(
    job: MainJob,
    name: str,
    container: Mapping[str, Any],
    until: Callable[[dict[str, Any]], Any],
    **spec: Any,
) -> Iterator[None]:
    """A pod that has come as far as `until` says of its status."""
    start_pod(job, name, container, **spec)
    try:
        wait_for(f"pod {name}", lambda: until(kubectl.get(job.lab, "pod", "-n", "media", name)["status"]))
        yield
    finally:
        kubectl.kubectl(job.lab, "delete", "pod", "-n", "media", name, "--grace-period=0", "--force")


def running(status: Mapping[str, Any]) -> bool:
    return status.get("phase") == "Running"


def waits(*reasons: str) -> Callable[[dict[str, Any]], bool]:
    """Whether the pod's container waits for one of the reasons."""

    def look(status: dict[str, Any]) -> bool:
        states = [one["state"] for one in status.get("containerStatuses", ())]
        return any((state.get("waiting") or {}).get("reason") in reasons for state in states)

    return look


def apply_config(job: MainJob, text: str) -> None:
    """A whole machine config through the Talos API, without a reboot."""

    async def apply() -> None:
        async with MachineClient(TalosConfig.load(job.lab.paths.talosconfig), job.node.endpoint) as client:
            await client.apply_configuration(text, ApplyMode.NO_REBOOT)

    asyncio.run(apply())


def talosconfig_for(job: MainJob, days: int) -> Path:
    """A talosconfig of the lab's whose certificate ends soon."""
    text = talosconfig_valid(job.lab, timedelta(days=days))
    path = job.lab.paths.root / "talosconfig-soon"
    write_private(path, text)
    return path
