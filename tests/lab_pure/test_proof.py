"""Claims of the closing table: a step that fails is a failed claim, whatever it fails with."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import cast

import pytest

from lab.cluster.control_plane import Ports
from lab.errors import LabError
from lab.lab import Lab, Record
from lab.proof import claims, holds, shown
from lab.report import Verdict
from lab.stack import Stack
from talos_gpu.errors import TalosGpuError
from talos_gpu.talos.facts import NodeFacts
from talos_gpu.talos.machine_config import LABEL, MODULES, wanted
from talos_gpu.talos.releases import Method, strategy_for

WANT = wanted(strategy_for("v1.11.1"), Method.SPEC)
FACTS = NodeFacts(talos="v1.11.1", modules=frozenset(MODULES), part=WANT.part, udev_rules="\n".join(WANT.udev_rules))


@pytest.mark.parametrize(
    "error",
    [LabError("gone"), TalosGpuError("gone"), subprocess.TimeoutExpired(["gone"], 120)],
    ids=["lab", "talos_gpu", "late"],
)
def test_whatever_a_step_fails_with_is_evidence(error: Exception) -> None:
    def step(_: Stack) -> str:
        raise error

    claim = shown(cast("Stack", None), "spec", "the spec is there", Verdict.PROVEN, step)
    assert claim.verdict is Verdict.FAILED
    assert "gone" in claim.evidence


def test_a_fault_of_ours_is_no_claim() -> None:
    def step(_: Stack) -> str:
        raise AssertionError

    with pytest.raises(AssertionError):
        shown(cast("Stack", None), "spec", "the spec is there", Verdict.PROVEN, step)


def test_of_a_lab_that_is_gone_every_claim_fails_and_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TALOS_LAB_HOME", str(tmp_path))
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("pulumi", "pulumi-language-python", "pulumi-resource-talos", "kubectl"):
        (programs / name).write_text("#!/bin/sh\necho refused >&2\nexit 1\n")
        (programs / name).chmod(0o755)
    lab = Lab("gone", programs)
    Record("10.5.0.0/24", Ports(*range(40000, 40005)), ("lab-1",), cluster=True).save(lab.paths.record)
    stack = Stack(lab, lab.node())
    stack.config.write_text((Path(__file__).parents[2] / "Pulumi.lab.yaml").read_text())
    found = list(claims(stack))
    assert len(found) == 8
    assert [claim.id for claim in found if claim.verdict is not Verdict.FAILED] == []
    assert all(claim.evidence for claim in found)


def test_the_machine_claim_says_what_is_in_force() -> None:
    assert "Talos v1.11.1: kernel modules, containerd part" in holds("lab-1", FACTS, dict([LABEL]), WANT)


def test_the_machine_claim_fails_with_everything_that_is_not() -> None:
    lame = NodeFacts(talos="v1.11.1", modules=frozenset(MODULES[1:]), part="", udev_rules=FACTS.udev_rules)
    with pytest.raises(LabError) as failed:
        holds("lab-1", lame, {}, WANT)
    assert str(failed.value) == (
        "lab-1: kernel module nvidia is not loaded; /etc/cri/conf.d/20-customization.part is not there; "
        "node label node.kubernetes.io/gpu-vendor is missing"
    )
