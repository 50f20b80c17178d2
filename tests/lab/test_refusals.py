"""Test 6: a spec that does not fit the host is not installed; pods then fail as unresolvable, and the log says why."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime

import pytest

from lab import kubectl
from tests.lab.conftest import MainJob, wait_for
from tests.lab.pods import why_it_fails

pytestmark = pytest.mark.lab

SOURCE, INSTALLED = "/var/cdi/nvidia.yaml", "/run/cdi/nvidia.yaml"
UPGRADED = "535.261.03"
HOOK = "/usr/local/bin/nvidia-cdi-hook.real"
UNRESOLVABLE = "unresolvable CDI devices nvidia.com/gpu=all"


def restart(job: MainJob) -> None:
    job.node.stop()
    job.lab.start(print)
    kubectl.wait_node_ready(job.lab, [job.node.name])


@contextmanager
def upgraded_driver(job: MainJob) -> Iterator[str]:
    profile = job.node.profile()
    old = profile["driver"]
    extensions = [{**e, "version": e["version"].replace(old, UPGRADED)} for e in profile["extensions"]]
    job.node.write_profile({**profile, "driver": UPGRADED, "extensions": extensions})
    job.node.set_layers(job.lab.layers(UPGRADED))
    restart(job)
    try:
        yield f"REFUSED: driver: the host has {UPGRADED}, the spec is for {old}"
    finally:
        job.node.write_profile(profile)
        job.node.set_layers(job.lab.layers(old))
        restart(job)


@contextmanager
def hook_binary_gone(job: MainJob) -> Iterator[str]:
    job.node.hide(HOOK)
    restart(job)
    try:
        yield f"REFUSED: hook binary {HOOK}: missing on the host"
    finally:
        job.node.unhide(HOOK)
        restart(job)


@contextmanager
def another_source(job: MainJob) -> Iterator[str]:
    source = job.inside(SOURCE)
    good = source.read_text()
    source.write_text(good + "# touched\n")
    try:
        yield f"REFUSED: source {SOURCE}: not the one that was patched (sha256 "
    finally:
        source.write_text(good)


def workers_failures(job: MainJob, since: datetime) -> str:
    """Why the worker's own container was not made, as the kubelet told since then."""
    events = kubectl.get(job.lab, "events", "-n", "media")["items"]
    return "\n".join(
        event["message"]
        for event in events
        if event["involvedObject"]["name"].startswith(f"tdarr-node-gpu-{job.node.name}-")
        and "failed to create" in event["message"]
        and datetime.fromisoformat(event["lastTimestamp"]) >= since
    )


def followed(job: MainJob, driver: str) -> None:
    """The stack follows a driver that was changed by hand: one `up`, another spec, and the worker encodes."""
    with job.configured(node={"gpu": {"driver": driver}}):
        job.up()
        job.settle()
        for path in (SOURCE, INSTALLED):
            assert f"libcuda.so.{driver}" in job.inside(path).read_text()
        job.encode()


@pytest.mark.parametrize("fault", [upgraded_driver, hook_binary_gone, another_source], ids=lambda value: value.__name__)
def test_the_installer_refuses(job: MainJob, fault: Callable[[MainJob], AbstractContextManager[str]]) -> None:
    boot = job.boot_id()
    with fault(job) as reason:
        wait_for(f"the log says {reason!r}", lambda: reason in job.installer_log())
        wait_for("the spec is withdrawn", lambda: not job.inside(INSTALLED).exists())
        wait_for("the installer is not ready", lambda: not job.installer_ready())
        since = datetime.now(UTC).replace(microsecond=0)
        assert UNRESOLVABLE in why_it_fails(job, f"refused-by-{fault.__name__}".replace("_", "-"))
        if job.boot_id() != boot:
            wait_for("the worker is refused too", lambda: UNRESOLVABLE in workers_failures(job, since), 120)
        assert not job.inside(INSTALLED).exists(), "a pod that failed has brought the spec back"
        if fault is upgraded_driver:
            followed(job, UPGRADED)
    if fault is upgraded_driver:
        followed(job, job.node.profile()["driver"])
    job.settle()
    job.encode()
