"""Every fault finds its root, exactly; a healthy node has no finding; the table of both stands in docs/."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from talos_gpu.doctor.bundle import host, load, save
from talos_gpu.doctor.checks import CHECKS
from talos_gpu.doctor.diagnose import diagnose
from talos_gpu.doctor.finding import Diagnosis, Severity
from talos_gpu.doctor.page import troubleshooting
from talos_gpu.doctor.redact import redacted
from tests.doctor.bundles import Box, broken, healthy
from tests.doctor.fault import Fault
from tests.doctor.fault_table import LIVE_NODE, PAGE, saved_section
from tests.doctor.faults import FAULTS, PAIRS
from tests.doctor.workload_faults import native

BY_NAME = {one.name: one for one in FAULTS}


def roots(diagnosis: Diagnosis) -> set[str]:
    return {finding.check for finding in diagnosis.roots}


def test_a_healthy_node_has_no_finding_and_nearly_every_check_ran() -> None:
    diagnosis = diagnose(healthy())
    assert diagnosis.findings == ()
    assert [one.check for one in diagnosis.not_run] == ["part-not-merged"]
    assert diagnosis.exit_code == 0


def test_a_healthy_node_of_talos_1_13_has_no_finding() -> None:
    def finished(box: object) -> None:
        services = box.json("talos/services.json")  # type: ignore[attr-defined]
        services.append({"id": "ext-nvidia-cdi-gen", "state": "Finished", "message": ""})

    assert diagnose(broken(native, finished)).findings == ()


@pytest.mark.parametrize(
    ("harden", "legacy", "wanted"),
    [(2, False, set()), (2, True, {"legacy-blinded"}), (1, True, set()), (0, True, set())],
)
def test_hardening_is_a_finding_only_where_legacy_injection_is_in_use(
    harden: int, legacy: bool, wanted: set[str]
) -> None:
    def make(box: Box) -> None:
        box.texts[host("/proc/sys/net/core/bpf_jit_harden")] = f"{harden}\n"
        if legacy:
            box.items("runtimeclasses").append({"metadata": {"name": "nvidia"}, "handler": "nvidia"})
            box.worker["spec"]["runtimeClassName"] = "nvidia"

    assert roots(diagnose(broken(make))) == wanted


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_the_root_is_found_exactly(fault: Fault) -> None:
    diagnosis = diagnose(fault.bundle())
    assert roots(diagnosis) == fault.roots, [(one.check, one.explained_by, one.evidence) for one in diagnosis.findings]


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_of_two_faults_both_roots_are_found(one: str, other: str) -> None:
    pair = BY_NAME[one], BY_NAME[other]
    assert roots(diagnose(broken(*(fault.make for fault in pair)))) == pair[0].roots | pair[1].roots


def test_every_check_has_a_fault_that_it_finds() -> None:
    tried = {root for fault in FAULTS for root in fault.roots}
    assert {check.name for check in CHECKS} == tried


def test_what_explains_what_has_no_circle_and_names_checks_only() -> None:
    explains = {check.name: check.explains for check in CHECKS}
    assert len(explains) == len(CHECKS)
    assert {name for names in explains.values() for name in names} <= explains.keys()

    def below(name: str, above: tuple[str, ...]) -> None:
        assert name not in above, f"{' -> '.join(above)} -> {name}"
        for child in explains[name]:
            below(child, (*above, name))

    for name in explains:
        below(name, ())


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_saved_and_redacted_bundle_is_diagnosed_the_same(fault: Fault, tmp_path: Path) -> None:
    bundle = fault.bundle()
    save(redacted(bundle), tmp_path / "bundle")
    again = diagnose(load(tmp_path / "bundle"))
    assert roots(again) == roots(diagnose(bundle))


def test_every_check_says_what_to_do_and_who_says_so() -> None:
    for check in CHECKS:
        assert check.cause.endswith((".", "."))
        assert check.remedy
        assert check.source
        assert check.severity in Severity


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_remedy_names_what_the_evidence_knows(fault: Fault) -> None:
    for one in diagnose(fault.bundle()).findings:
        own = one.remedy.replace("talosctl config new --roles os:admin NEW", "").replace("FILE names every", "")
        assert not re.search(r"\b(?:NODE|STACK|NAMESPACE|KEY)\b|\bnamespace NAME\b", own), one


def table() -> str:
    """Faults against findings, with precision and recall over roots."""
    true = false = missed = 0
    made = [(fault.name, fault.bundle(), fault.roots) for fault in FAULTS]
    for one, other in PAIRS:
        pair = BY_NAME[one], BY_NAME[other]
        made.append((f"{one} + {other}", broken(*(f.make for f in pair)), pair[0].roots | pair[1].roots))
    rows = []
    for name, bundle, wanted in made:
        diagnosis = diagnose(bundle)
        found = roots(diagnosis)
        true, false, missed = true + len(found & wanted), false + len(found - wanted), missed + len(wanted - found)
        beneath = dict.fromkeys(one.check for one in diagnosis.findings if one.explained_by)
        rows.append((name, ", ".join(sorted(found)), ", ".join(beneath) or "-"))
    verdict = (
        f"{len(FAULTS)} faults and {len(PAIRS)} pairs; {len(CHECKS)} checks. "
        f"Precision {true / (true + false):.3f}, recall {true / (true + missed):.3f}; a healthy node: "
        f"{len(diagnose(healthy()).findings)} findings."
    )
    return saved_section(rows, verdict)


WRITE = bool(os.environ.get("TALOS_GPU_WRITE_DOCS"))


def test_the_page_on_troubleshooting_is_what_the_checks_say() -> None:
    page = PAGE.with_name("troubleshooting.md")
    if WRITE:
        page.write_text(troubleshooting())
    assert page.read_text() == troubleshooting()


def test_the_table_of_faults_is_what_was_found() -> None:
    text = table()
    _, live, rest = PAGE.read_text().partition(f"\n{LIVE_NODE}")
    if WRITE:
        PAGE.write_text(text + live + rest)
    assert PAGE.read_text().startswith(text + live)
