"""The doctor on the running lab: each fault of the node finds its root, exactly; the healthy node has no finding."""

from __future__ import annotations

import pytest

from talos_gpu.doctor.diagnose import diagnose
from tests.doctor.fault_table import LIVE_NODE
from tests.lab.conftest import MainJob
from tests.lab.doctoring import BY_NAME, Seen, gathered, healthy, roots, told
from tests.lab.live_fault import LiveFault
from tests.lab.node_faults import FAULTS

pytestmark = pytest.mark.lab

PAIRS = (
    ("the installed spec was edited", "a taint that nothing tolerates"),
    ("the seed's order of folders", "an image that is not there"),
    ("no containerd part", "a spec of another driver version"),
    ("a device node is not there", "an image by tag in the stack"),
)
"""Faults that are made together; both roots must be found."""

SEEN = Seen(LIVE_NODE, FAULTS, PAIRS)


def test_on_the_healthy_node_nothing_is_found_and_every_check_ran(job: MainJob) -> None:
    healthy(job)
    diagnosis = diagnose(gathered(job))
    assert diagnosis.findings == (), told(diagnosis)
    assert diagnosis.not_run == ()


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
