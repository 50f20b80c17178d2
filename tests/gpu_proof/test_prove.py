"""What `prove` does without a GPU: it refuses, redacts, keeps records."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from gpu_proof.machine import INSTALLED, reasons_against
from gpu_proof.record import Journal, Record, Verdict
from gpu_proof.redact import hider, kernel

UUID = "GPU-0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0"
OTHER = "GPU-1f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0"


def machine(root: Path) -> Path:
    for path in ("sys/fs/cgroup/cgroup.controllers", "proc/driver/nvidia/version"):
        (root / path).parent.mkdir(parents=True)
        (root / path).write_text("")
    (root / "dev").mkdir()
    for node in ("nvidia0", "nvidiactl", "nvidia-uvm"):
        (root / "dev" / node).write_text("")
    return root


def told(root: Path) -> list[str]:
    """Without what depends on this machine's own user, architecture and programs."""
    return [reason for reason in reasons_against(root) if "root:" not in reason and "PATH" not in reason]


def test_a_bare_machine_with_a_gpu_is_taken(tmp_path: Path) -> None:
    assert told(machine(tmp_path)) == []


def test_every_file_of_a_real_installation_is_a_reason_and_all_are_named(tmp_path: Path) -> None:
    root = machine(tmp_path)
    for path in INSTALLED:
        there = root / path.lstrip("/")
        there.parent.mkdir(parents=True, exist_ok=True)
        if not there.exists():
            there.write_text("")
    reasons = told(root)
    assert [reason.partition(" belongs")[0] for reason in reasons] == list(INSTALLED)


def test_an_empty_folder_of_specs_is_no_installation_and_one_with_a_file_is(tmp_path: Path) -> None:
    root = machine(tmp_path)
    (root / "etc/cdi").mkdir(parents=True)
    assert told(root) == []
    (root / "etc/cdi/nvidia.yaml").write_text("")
    assert len(told(root)) == 1


def test_without_driver_node_or_unified_hierarchy_each_is_named(tmp_path: Path) -> None:
    root = machine(tmp_path)
    (root / "sys/fs/cgroup/cgroup.controllers").unlink()
    (root / "proc/driver/nvidia/version").unlink()
    (root / "dev/nvidia-uvm").unlink()
    reasons = told(root)
    assert len(reasons) == 3
    for part in ("unified hierarchy", "no NVIDIA driver", "/dev/nvidia-uvm"):
        assert any(part in reason for reason in reasons)


def test_uuids_and_the_host_s_name_are_replaced_always_alike() -> None:
    hide = hider("node-7")
    text = hide(f"{UUID} on node-7, {OTHER}, {UUID}; my-node-7.example and node-77 are others (builder@node-7)")
    assert hide("at node-7.lab.example.com, by node-7. Then:") == "at HOST, by HOST. Then:"
    assert UUID not in text
    assert OTHER not in text
    assert text.count("GPU-00000000-0000-0000-0000-000000000000") == 2
    assert "HOST, GPU-" in text
    assert "node-77" in text


def test_a_kernel_keeps_its_number_and_loses_its_packager() -> None:
    assert kernel("6.18.44-some-v3-cloud") == "6.18.44"


def test_a_uuid_across_the_cut_of_a_long_line_is_replaced_before_it_is_cut(tmp_path: Path) -> None:
    journal = Journal(tmp_path, hider("node-7"))
    journal.keep(Record("a", "b", "c", "x" * 590 + UUID, Verdict.PROVEN))
    assert "0f1e2d" not in journal.finish({}).read_text()
    assert "0f1e2d" not in (tmp_path / "prove.log").read_text()


def test_an_error_in_one_part_is_a_failed_record_and_keeps_what_was_before(tmp_path: Path) -> None:
    def part() -> Iterator[Record]:
        yield Record("one", "claim", "command", "output", Verdict.PROVEN)
        raise ValueError("broken")

    journal = Journal(tmp_path, hider("node-7"))
    journal.attempt("part", part)
    records = json.loads(journal.finish({}).read_text())["records"]
    assert [(record["id"], record["verdict"]) for record in records] == [("one", "proven"), ("part/error", "failed")]
    assert records[1]["output"] == "ValueError: broken"
