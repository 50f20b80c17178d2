"""The judgement of the spec on a node."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from talos_gpu.cdi import File, Folder, Library, Strategy, facts_of, faults, parse, patch
from talos_gpu.cdi.strategy import strategy_on
from talos_gpu.talos.facts import NodeFacts
from talos_gpu.verify import spec
from talos_gpu.verify.report import Outcome, Proof
from talos_gpu.verify.spec import HostSpec

P2000 = "cdi/p2000-535/toolkit-1.17.8.yaml"
FACTS = NodeFacts(driver="535.247.01", char_majors={"nvidia": 195, "nvidia-uvm": 511})


@pytest.fixture
def healthy_spec(fixtures: Path) -> str:
    return patch((fixtures / P2000).read_text(), Strategy.REAL).text


def folders(text: str, *, without: str = "") -> dict[str, frozenset[str]]:
    needed = facts_of(parse(text, library=Library.V1_1_0))
    found: dict[str, set[str]] = {}
    for path in (*needed.host_paths, *needed.executables):
        folder, _, name = path.rpartition("/")
        found.setdefault(folder, set())
        if path != without:
            found[folder].add(name)
    return {folder: frozenset(names) for folder, names in found.items()}


@dataclass(frozen=True)
class On:
    """The node that a spec is judged on."""

    facts: NodeFacts = FACTS
    without: str = ""
    """A path that it does not have."""
    strategy: Strategy = Strategy.REAL
    binaries: frozenset[str] | None = None
    """All that lies in /usr/local/bin; None: what the spec names there."""
    beside: Mapping[str, str] = field(default_factory=dict)
    """Other files in /var/run/cdi."""


def judged(text: str | None, on: On = On()) -> Proof:
    listed = folders(text, without=on.without) if text and not faults(text, library=Library.V1_1_0) else {}
    if on.binaries is not None:
        listed[spec.BINARIES] = on.binaries
    files = {**on.beside, **({} if text is None else {"nvidia.yaml": text})}
    run_cdi = Folder("/var/run/cdi", tuple(File(name, data.encode()) for name, data in files.items()))
    data = None if text is None else text.encode()
    host = HostSpec("/var/run/cdi/nvidia.yaml", data, on.facts, listed, (Folder("/etc/cdi"), run_cdi))
    return spec.judge(host, on.strategy, 0.1)


def test_a_spec_that_is_installed_patched_and_fresh_is_proven(healthy_spec: str) -> None:
    assert judged(healthy_spec).outcome is Outcome.PROVEN


def test_a_spec_that_the_node_s_own_binaries_run_is_proven_whatever_the_release_table_says(fixtures: Path) -> None:
    unpatched = (fixtures / P2000).read_text()
    there = folders(unpatched)[spec.BINARIES]
    found = strategy_on("auto", there, Strategy.REAL)
    assert judged(unpatched, On(strategy=found, binaries=there)).outcome is Outcome.PROVEN
    wrapped = there | {"nvidia-cdi-hook.real"}
    assert (
        judged(unpatched, On(strategy=strategy_on("auto", wrapped, Strategy.NONE), binaries=wrapped)).cause
        == "spec-unpatched"
    )


def test_a_spec_is_read_as_the_node_s_containerd_reads_it(healthy_spec: str) -> None:
    newer = healthy_spec.replace("cdiVersion: 0.5.0", "cdiVersion: 1.1.0", 1)
    assert judged(newer, On(replace(FACTS, containerd="2.1.4"))).cause == "spec-invalid"
    assert judged(newer, On(replace(FACTS, containerd="2.2.1"))).outcome is Outcome.PROVEN


def test_a_spec_that_does_not_fit_says_why(healthy_spec: str, fixtures: Path) -> None:
    unpatched = (fixtures / P2000).read_text()
    moved = On(NodeFacts(driver="570.172.08"))

    def with_major(node: str, major: int) -> str:
        changed = healthy_spec.replace(f"path: {node}\n", f"path: {node}\n    major: {major}\n    type: c\n")
        assert changed != healthy_spec
        return changed

    uvm = with_major("/dev/nvidia-uvm", 238)
    stale_hook = healthy_spec.replace("--host-driver-version=535.247.01", "--host-driver-version=535.230.02")
    other_library = healthy_spec.replace("libcuda.so.535.247.01", "libcuda.so.535.230.02")
    other_hook = unpatched.replace("/usr/local/bin/nvidia-cdi-hook", "/opt/nvidia-cdi-hook")
    driverless = healthy_spec.replace("535.247.01", "1")
    amd = healthy_spec.replace("kind: nvidia.com/gpu", "kind: amd.com/gpu")
    assert healthy_spec not in (stale_hook, other_library, driverless, amd)
    wrapped = folders(unpatched)[spec.BINARIES] | {"nvidia-cdi-hook.real"}
    cases = [
        ("spec-missing", judged(None)),
        ("spec-invalid", judged("kind: x\n")),
        ("spec-unpatched", judged(unpatched, On(binaries=wrapped))),
        ("spec-unpatched", judged(unpatched, On(strategy=Strategy.NVIDIA_CTK, binaries=wrapped))),
        ("spec-unpatched", judged(unpatched, On(strategy=Strategy.NONE, binaries=wrapped))),
        ("hook-unknown", judged(other_hook)),
        ("spec-stale", judged(healthy_spec, moved)),
        ("spec-stale", judged(stale_hook)),
        ("spec-stale", judged(other_library)),
        ("spec-stale", judged(driverless)),
        ("spec-kind", judged(amd)),
        ("spec-stale-major", judged(uvm)),
        ("spec-stale-major", judged(with_major("/dev/nvidiactl", 196))),
        ("spec-nodes", judged(healthy_spec, On(without="/dev/nvidia0"))),
        ("hook-missing", judged(healthy_spec, On(without="/usr/local/bin/nvidia-cdi-hook.real"))),
        ("spec-conflict", judged(healthy_spec, On(beside={"other.yaml": healthy_spec}))),
    ]
    assert [(cause, Outcome.DISPROVEN) for cause, _ in cases] == [(found.cause, found.outcome) for _, found in cases]
    sentence = cases[6][1].sentence
    assert sentence.startswith("the spec names driver 535.247.01 in /usr/")
    assert sentence.endswith(" more; the host has 570.172.08.")


def test_a_library_that_is_gone_is_named(healthy_spec: str) -> None:
    gone = next(path for path in healthy_spec.split() if path.endswith("libcuda.so.535.247.01"))
    proof = judged(healthy_spec, On(without=gone))
    assert (proof.cause, proof.outcome) == ("spec-paths", Outcome.DISPROVEN)
    assert gone in proof.sentence


def test_a_driver_that_could_not_be_read_leaves_freshness_open(healthy_spec: str) -> None:
    unread = On(NodeFacts(unread={"driver": "needs role os:admin"}))
    assert judged(healthy_spec, unread).outcome is Outcome.UNKNOWN
