"""Test 10: each step fails with one error that names cause and remedy; once the cause is gone, the next `up` works."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from lab import kubectl
from tests.lab.conftest import MainJob, wait_for
from tests.lab.doctoring import command

pytestmark = pytest.mark.lab

CTK = "/usr/local/bin/nvidia-ctk.real"


def fails(job: MainJob, *flags: str) -> str:
    """What a failing `up` says in the end."""
    done = job.stack.operation("up", "--refresh", "--skip-preview", *flags, check=False)
    assert done.returncode, done.stdout
    return " ".join((done.stdout.partition("Diagnostics:")[2] + done.stderr).split())


def restart(job: MainJob) -> None:
    job.node.stop()
    job.lab.start(print)
    kubectl.wait_node_ready(job.lab, [job.node.name])
    wait_for("every pod's status is of this boot", job.restarted)


def objects(job: MainJob) -> dict[str, tuple[str, int]]:
    """What `up` has made in the cluster for the node: which object each is, and how often its spec was changed."""
    found = [
        item["metadata"]
        for kind, namespace in (("jobs", "kube-system"), ("daemonsets", "kube-system"), ("deployments", "media"))
        for item in kubectl.get(job.lab, kind, "-n", namespace)["items"]
    ]
    assert len(found) == 3, found
    return {about["name"]: (about["uid"], about["generation"]) for about in found}


def made_after_the_generator(job: MainJob) -> dict[str, tuple[str, int]]:
    """The same without the generator's Job, which each try replaces."""
    return {name: one for name, one in objects(job).items() if not name.startswith("nvidia-cdi-generator")}


@contextmanager
def profile(job: MainJob, **changes: Any) -> Iterator[None]:
    """Other pretended facts, from the next boot on."""
    before = job.node.profile()
    job.node.write_profile({**before, **changes})
    try:
        yield
    finally:
        job.node.write_profile(before)


def recovers(job: MainJob) -> None:
    job.up()
    job.settle()
    assert job.quiet()
    job.encode()


def test_the_machine_api_refuses_connections(job: MainJob) -> None:
    before = objects(job)
    job.node.stop()
    try:
        said = fails(job)
    finally:
        job.lab.start(print)
        kubectl.wait_node_ready(job.lab, [job.node.name])
    assert f"cannot connect to {job.node.endpoint}:50000" in said, said
    assert "remedy: check that the node is up, that the address is right" in said
    assert said.count("remedy:") == 1, said
    assert objects(job) == before, "something was changed half"
    recovers(job)


@pytest.mark.parametrize(
    ("talosconfig", "words"),
    [
        ("talosconfig-stranger", ["the server did not accept the client certificate"]),
        ("talosconfig-reader", ["os:admin", "os:reader"]),
    ],
    ids=["wrong certificate", "reader role"],
)
def test_credentials_that_do_not_do(job: MainJob, talosconfig: str, words: list[str]) -> None:
    path, before = job.lab.paths.talos / talosconfig, objects(job)
    with job.configured(talosconfig=str(path)):
        said = fails(job, "--run-program")
        refreshed = fails(job)  # every resource is looked at, with the path of the `up` before
    for word in (*words, f"credentials: {path}; where the stack names another path by now, add --run-program"):
        assert word in said, said
    assert "Traceback" not in said
    assert refreshed.count("remedy:") == 1, refreshed
    assert objects(job) == before, "something was changed half"
    assert job.quiet("--run-program"), "something was changed half"
    job.up("--run-program")  # without it a refresh would take the path that the state has from the last `up`
    assert job.quiet()


def test_a_node_that_does_not_come_back_is_named_with_what_was_last_seen(job: MainJob) -> None:
    before = objects(job)
    try:
        with (
            profile(job, boot_delay_s=600),
            job.configured(cdi={"runtime": "default"}, machine={"ready_timeout_s": 30}),
        ):
            said = fails(job)
        assert f"{job.node.name} was not ready within 30 s; condition api, last seen: " in said, said
        assert "likely cause: the node has not come back" in said
        assert f"remedy: talosctl -n {job.node.name} dmesg" in said
        assert objects(job) == before, "something was done on a node that is away"
    finally:
        restart(job)
    recovers(job)


def test_a_node_that_comes_back_on_the_old_boot_is_not_taken_for_rebooted(job: MainJob) -> None:
    boot, before = job.boot_id(), objects(job)
    try:
        with profile(job, boot_id=boot), job.configured(cdi={"runtime": "default"}, machine={"ready_timeout_s": 30}):
            said = fails(job)
    finally:
        restart(job)
    assert f"was not ready within 30 s; condition boot-id, last seen: still on boot {boot}" in said, said
    assert "likely cause: it answers and was not restarted" in said
    assert objects(job) == before, "something was done on a node that is not known to be configured"
    recovers(job)


def test_a_generator_that_fails_says_why_at_once(job: MainJob) -> None:
    before = made_after_the_generator(job)
    job.node.hide(CTK)
    try:
        restart(job)
        job.inside("/var/cdi/nvidia.yaml").unlink()
        said = fails(job)
    finally:
        job.node.unhide(CTK)
        restart(job)
    assert "[Pod kube-system/nvidia-cdi-generator-" in said, said
    assert f"nvidia-container-runtime-wrapper: exec {CTK}: no such file or directory" in said, said
    assert not job.inside("/var/cdi/nvidia.yaml").exists()
    assert made_after_the_generator(job) == before, "something was made of a spec that is not there"
    recovers(job)


def test_a_generated_spec_that_does_not_fit_is_said_and_not_installed(job: MainJob) -> None:
    """The kernel's driver is another one than the libraries of which nvidia-ctk makes its spec."""
    loaded, has = "535.261.03", job.node.profile()["driver"]
    before = made_after_the_generator(job)
    try:
        with profile(job, driver=loaded):
            restart(job)
            said = fails(job)
            installed = job.inside("/run/cdi/nvidia.yaml").exists()
    finally:
        restart(job)
    unfit = f"/var/cdi/nvidia.yaml was made for driver {has}, the node has {loaded}"
    assert f"the spec on {job.node.name} cannot be used: {unfit}" in said, said
    assert f"remedy: read it: talosctl -n {job.node.name} read /var/cdi/nvidia.yaml" in said
    assert not installed
    assert made_after_the_generator(job) == before, "something was made of a spec that does not fit"
    recovers(job)


def test_a_driver_that_is_not_loaded_is_said_before_anything_is_generated(job: MainJob) -> None:
    before = objects(job)
    installed = job.node.profile()["extensions"]
    without = [extension for extension in installed if not extension["name"].startswith("nonfree-kmod-nvidia")]
    try:
        with profile(job, extensions=without), job.configured(machine={"ready_timeout_s": 30}):
            restart(job)
            said = fails(job)
    finally:
        restart(job)
    assert "was not ready within 30 s; condition config, last seen: kernel module nvidia is not loaded; " in said, said
    assert "likely cause: the schematic lacks the extension nonfree-kmod-nvidia" in said
    assert "remedy: " in said
    assert objects(job) == before, "something was generated"
    recovers(job)


def test_an_image_that_is_missing_is_named(job: MainJob) -> None:
    before = made_after_the_generator(job)
    job.inside("/var/cdi/nvidia.yaml").unlink()
    with job.configured(cdi={"image": "lab.local/absent:1", "generator_deadline_s": 30}):
        said = fails(job)
    assert "[Pod kube-system/nvidia-cdi-generator-" in said, said
    assert re.search(r"container generator: \[(ErrImagePull|ImagePullBackOff)\] [^*]*lab\.local/absent:1", said), said
    explained = command("explain", said, "--json")
    assert "image-unpullable" in [one["name"] for one in json.loads(explained.stdout)["causes"]], explained
    assert made_after_the_generator(job) == before, "an installer with an image that is not there"
    recovers(job)
