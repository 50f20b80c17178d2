"""The doctor on the running lab: each fault of the cluster, of pods and of the operator's files finds its root."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lab import kubectl
from talos_gpu.doctor.diagnose import diagnose
from tests.doctor.fault_table import LIVE_CLUSTER
from tests.lab import cluster_faults, pod_faults
from tests.lab.conftest import MainJob
from tests.lab.doctoring import BY_NAME, Seen, command, gathered, healthy, roots, told
from tests.lab.live_fault import LiveFault, all_of
from tests.lab.test_rotation import canaries

pytestmark = pytest.mark.lab

FAULTS = (*pod_faults.FAULTS, *cluster_faults.FAULTS)
PAIRS = (
    ("the RuntimeClass was deleted", "an unknown field in the installed spec"),
    ("a second part with the same runtime", "a patched node about to be upgraded to 1.13"),
    ("the device plugin waits for a label", "the installed spec was deleted"),
    ("a udev rule takes a device node's permissions away", "the worker was scaled to zero"),
    ("a talosconfig that ends in ten days", "CDI switched off in containerd"),
    ("the seed's generator pod, DaemonSet and .keep file", "the same devices in a second file of the folder"),
)
"""Faults that are made together; both roots must be found."""

SEEN = Seen(LIVE_CLUSTER, FAULTS, PAIRS)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_the_root_is_found_exactly(job: MainJob, fault: LiveFault) -> None:
    diagnosis = SEEN.found(job, fault)
    assert roots(diagnosis) == fault.roots, told(diagnosis)


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_of_two_faults_both_roots_are_found(job: MainJob, one: str, other: str) -> None:
    diagnosis = SEEN.found(job, BY_NAME[one], BY_NAME[other])
    assert roots(diagnosis) == BY_NAME[one].roots | BY_NAME[other].roots, told(diagnosis)


def test_the_table_of_what_was_found_stands_in_the_documentation(job: MainJob) -> None:
    SEEN.pin(job)


def test_what_the_command_saves_holds_no_secret_and_is_diagnosed_the_same(job: MainJob, tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    with BY_NAME["the seed's order of folders"].make(job):
        asked = ("doctor", job.stack.name, "--project", str(job.lab.paths.root), "--save", str(folder), "--json")
        live = command(*asked)
    assert (live.returncode, live.stderr) == (1, "")
    again = command("doctor", "--from", str(folder), "--json")
    assert json.loads(again.stdout) == json.loads(live.stdout)
    saved = "".join(path.read_text() for path in folder.rglob("*") if path.is_file())
    assert [secret for secret in canaries(job.lab) if secret in saved] == []
    healthy(job)


def test_a_reader_is_told_what_resources_tell_and_what_an_admin_would_see(job: MainJob) -> None:
    reader = {"talos-nvidia-cdi:talosconfig": str(job.lab.paths.talos / "talosconfig-reader")}
    both = all_of(job, BY_NAME["a taint that nothing tolerates"], BY_NAME["a device node is not there"])
    with both, pod_faults.changed_stack(job, lambda config: config.update(reader)) as asked:
        diagnosis = diagnose(gathered(job, asked))
    assert roots(diagnosis) == {"taint-untolerated", "device-node-missing"}, told(diagnosis)
    reasons = {one.check: one.reason for one in diagnosis.not_run}
    for check in ("spec-missing", "spec-stale", "part-missing", "udev-rule-takes-access"):
        assert "needs role os:admin, the certificate has os:reader" in reasons[check], reasons
    healthy(job)


def test_a_pod_s_events_are_explained(job: MainJob) -> None:
    told_by_events = ("events", "-n", "media", "--field-selector", "involvedObject.name=unlucky,type=Warning")

    def refused(_: object) -> bool:
        events = kubectl.get(job.lab, *told_by_events)["items"]
        return any("unresolvable CDI devices" in event["message"] for event in events)

    pod = pod_faults.gpu_pod(job, "unlucky", refused)
    with BY_NAME["the installed spec was deleted"].make(job), pod:
        kubeconfig = ("--kubeconfig", str(job.lab.paths.kubeconfig))
        said = command("explain", "--pod", "media/unlucky", "--json", *kubeconfig)
        nobody = command("explain", "--pod", "media/nobody", *kubeconfig)
    assert (said.returncode, said.stderr) == (0, "")
    assert [one["name"] for one in json.loads(said.stdout)["causes"]] == ["device-unresolvable"]
    assert nobody.returncode == 2
    assert "no pod nobody in namespace media" in nobody.stderr
    healthy(job)
