"""The doctor on the running lab: each fault made there finds its root, exactly; the healthy node has no finding."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from lab import kubectl
from lab.paths import PROJECT
from talos_gpu.doctor.bundle import Bundle
from talos_gpu.doctor.diagnose import diagnose
from talos_gpu.doctor.finding import Diagnosis
from talos_gpu.doctor.gather import gather
from talos_gpu.settings.stack_file import stack_settings
from tests.doctor.fault_table import LIVE, PAGE, live_section
from tests.lab import cluster_faults, node_faults, pod_faults  # noqa: F401 (they register their faults)
from tests.lab.conftest import MainJob, wait_for
from tests.lab.live_fault import FAULTS, LiveFault, all_of
from tests.lab.test_rotation import canaries

pytestmark = pytest.mark.lab

PAIRS = (
    ("the installed spec was edited", "a taint that nothing tolerates"),
    ("the seed's order of folders", "an image that is not there"),
    ("no containerd part", "a spec of another driver version"),
    ("a device node is not there", "an image by tag in the stack"),
    ("the RuntimeClass was deleted", "an unknown field in the installed spec"),
    ("a second part with the same runtime", "a patched node about to be upgraded to 1.13"),
    ("the device plugin waits for a label", "the installed spec was deleted"),
    ("a udev rule takes a device node's permissions away", "the worker was scaled to zero"),
    ("a talosconfig that ends in ten days", "CDI switched off in containerd"),
    ("the seed's generator pod, DaemonSet and .keep file", "the same devices in a second file of the folder"),
)
"""Faults that are made together; both roots must be found."""


BY_NAME = {one.name: one for one in FAULTS}
SEEN: dict[tuple[LiveFault, ...], set[str]] = {}
"""Roots by the faults that were made."""
LOCAL_CHECKS = 10
"""The least that must run; the lab's kernel has no module list, and its containerd another configuration's place."""

LOCAL_FAULTS = (
    "the installed spec was deleted",
    "a spec of another driver version",
    "the same devices in a second file of the folder",
    "a udev rule takes a device node's permissions away",
)


def gathered(job: MainJob, asked: Mapping[str, Any] | None = None) -> Bundle:
    """What the lab's real APIs say now."""
    asked = asked or {}
    settings = stack_settings(Path(asked.get("stack", job.stack.config)))
    return asyncio.run(gather(job.stack.name, settings, upgrade_to=asked.get("upgrade_to")))


def roots(diagnosis: Diagnosis) -> set[str]:
    return {finding.check for finding in diagnosis.roots}


def told(diagnosis: Diagnosis) -> str:
    return json.dumps([(one.check, one.explained_by, one.evidence) for one in diagnosis.findings], indent=1)


def healthy(job: MainJob) -> None:
    """Returns when the doctor finds nothing."""
    seen: list[str] = []

    def nothing() -> bool:
        diagnosis = diagnose(gathered(job))
        seen[:] = [told(diagnosis)]
        return not diagnosis.findings

    try:
        wait_for("the doctor finds nothing", nothing)
    except AssertionError:
        raise AssertionError(f"the doctor still finds {seen}") from None


def found(job: MainJob, *faults: LiveFault) -> Diagnosis:
    """The diagnosis while something is broken; the node is healthy again afterwards."""
    with all_of(job, *faults) as asked:
        diagnosis = diagnose(gathered(job, asked))
    SEEN[faults] = roots(diagnosis)
    healthy(job)
    return diagnosis


def test_on_the_healthy_node_nothing_is_found_and_every_check_ran(job: MainJob) -> None:
    diagnosis = diagnose(gathered(job))
    assert diagnosis.findings == (), told(diagnosis)
    assert diagnosis.not_run == ()


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_the_root_is_found_exactly(job: MainJob, fault: LiveFault) -> None:
    diagnosis = found(job, fault)
    assert roots(diagnosis) == fault.roots, told(diagnosis)


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_of_two_faults_both_roots_are_found(job: MainJob, one: str, other: str) -> None:
    diagnosis = found(job, BY_NAME[one], BY_NAME[other])
    assert roots(diagnosis) == BY_NAME[one].roots | BY_NAME[other].roots, told(diagnosis)


def test_the_table_of_what_was_found_stands_in_the_documentation(job: MainJob) -> None:
    """Faults that were deselected before are made now."""
    tried = [(one,) for one in FAULTS] + [(BY_NAME[one], BY_NAME[other]) for one, other in PAIRS]
    true = false = missed = 0
    rows = []
    for faults in tried:
        wanted = frozenset().union(*(fault.roots for fault in faults))
        have = SEEN[faults] if faults in SEEN else roots(found(job, *faults))
        true, false, missed = true + len(have & wanted), false + len(have - wanted), missed + len(wanted - have)
        rows.append((" + ".join(fault.name for fault in faults), ", ".join(sorted(have))))
    count = f"{len(FAULTS)} faults and {len(PAIRS)} pairs"
    text = live_section(rows, f"{count}. Precision {true / (true + false):.3f}, recall {true / (true + missed):.3f}")
    if os.environ.get("TALOS_GPU_WRITE_DOCS"):
        PAGE.write_text(PAGE.read_text().partition(LIVE)[0] + text)
    assert "".join(PAGE.read_text().partition(LIVE)[1:]) == text


def command(job: MainJob, *words: str) -> subprocess.CompletedProcess[str]:
    """`talos-gpu WORDS`."""
    return subprocess.run(
        [sys.executable, "-m", "talos_gpu", *words], cwd=PROJECT, capture_output=True, text=True, check=False
    )


def test_what_the_command_saves_holds_no_secret_and_is_diagnosed_the_same(job: MainJob, tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    with BY_NAME["the seed's order of folders"].make(job):
        asked = ("doctor", job.stack.name, "--project", str(job.lab.paths.root), "--save", str(folder), "--json")
        live = command(job, *asked)
    assert (live.returncode, live.stderr) == (1, "")
    again = command(job, "doctor", "--from", str(folder), "--json")
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
    for check in ("spec-missing", "spec-stale", "part-missing"):
        assert "needs role os:admin, the certificate has os:reader" in reasons[check], reasons
    healthy(job)


def test_a_pod_s_events_are_explained(job: MainJob) -> None:
    told_by_events = ("events", "-n", "media", "--field-selector", "involvedObject.name=unlucky,type=Warning")
    pod = pod_faults.gpu_pod(job, "unlucky", lambda _: kubectl.get(job.lab, *told_by_events)["items"])
    with BY_NAME["the installed spec was deleted"].make(job), pod:
        kubeconfig = ("--kubeconfig", str(job.lab.paths.kubeconfig))
        said = command(job, "explain", "--pod", "media/unlucky", "--json", *kubeconfig)
        nobody = command(job, "explain", "--pod", "media/nobody", *kubeconfig)
    assert (said.returncode, said.stderr) == (0, "")
    assert [one["name"] for one in json.loads(said.stdout)["causes"]] == ["device-unresolvable"]
    assert nobody.returncode == 2
    assert "no pod nobody in namespace media" in nobody.stderr
    healthy(job)


def test_a_machine_with_containerd_and_the_toolkit_is_examined_without_talos_or_kubernetes(job: MainJob) -> None:
    """The program in the node's own root, where `/` is a machine with the real toolkit and a pretended driver."""
    program = (
        "import json, os, sys\n"
        "from talos_gpu.doctor import local\n"
        "from talos_gpu.doctor.checks import CHECKS\n"
        "from talos_gpu.doctor.diagnose import diagnose\n"
        "os.chroot(sys.argv[1]); os.chdir('/')\n"
        "found = diagnose(local.gather_local(), local.local_checks(CHECKS))\n"
        "print(json.dumps([[one.check for one in found.roots], found.ran]))\n"
    )

    def examined() -> list[Any]:
        words = [sys.executable, "-c", program, str(job.inside("/"))]
        done = subprocess.run(words, cwd=PROJECT, capture_output=True, text=True, check=True)
        result: list[Any] = json.loads(done.stdout)
        return result

    checks, ran = examined()
    assert checks == []
    assert ran >= LOCAL_CHECKS
    for fault in LOCAL_FAULTS:
        with BY_NAME[fault].make(job):
            assert examined()[0] == sorted(BY_NAME[fault].roots)
    healthy(job)
