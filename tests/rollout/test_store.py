"""What lies on the disk: the journal, the lock, the fleet's folder; torn, broken, killed in the middle."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from talos_gpu.rollout import lock
from talos_gpu.rollout.errors import FleetLocked, JournalCorrupt, NotPlanned
from talos_gpu.rollout.journal import Journal, read
from talos_gpu.rollout.load import parse
from talos_gpu.rollout.plan import Plan
from talos_gpu.rollout.records import Final, Kind, Record, Step, final
from talos_gpu.rollout.store import Store
from tests.rollout.simulation import plan_of

BEGUN = Record(Kind.BEGUN, 1.0, details={"plan": "x"})
STARTED = Record(Kind.STARTED, 2.5, stack="a", step=Step.UPDATE)
FAILED = final(3.0, "a", Final.FAILED, "update-failed", "in two\nlines, with ä")


def plan(fleet: str = "home") -> Plan:
    return plan_of(parse(f"fleet: {fleet}\nstacks: [{{glob: '*'}}]\ngates: []"), ["a", "b"])


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    with Journal(path) as journal:
        journal.write(BEGUN)
        journal.write(STARTED)
    with Journal(path) as journal:
        journal.write(FAILED)
    assert list(read(path)) == [BEGUN, STARTED, FAILED]
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("kept", range(1, 30, 4))
def test_a_torn_last_line_is_left_out_and_then_cut_off(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "journal.jsonl"
    with Journal(path) as journal:
        journal.write(BEGUN)
        whole = path.read_bytes()
        journal.write(STARTED)
    path.write_bytes(path.read_bytes()[: len(whole) + kept])
    assert list(read(path)) == [BEGUN]
    with Journal(path) as journal:
        journal.write(FAILED)
    assert list(read(path)) == [BEGUN, FAILED]


@pytest.mark.parametrize("line", ["nonsense", "{}", '{"kind": "final"}', '{"kind": "other", "at": 1}', "[]"])
def test_a_broken_line_in_the_middle_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "journal.jsonl"
    with Journal(path) as journal:
        journal.write(BEGUN)
    path.write_text(f"{path.read_text()}{line}\n")
    with Journal(path) as journal:
        journal.write(FAILED)
    with pytest.raises(JournalCorrupt, match="line 2: is no record"):
        list(read(path))


def test_every_record_is_on_the_disk_before_anything_follows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "journal.jsonl"
    synced: list[int] = []
    real = os.fdatasync

    def fdatasync(handle: int) -> None:
        real(handle)
        synced.append(path.stat().st_size)

    monkeypatch.setattr(os, "fdatasync", fdatasync)
    with Journal(path) as journal:
        for record in (BEGUN, STARTED, FAILED):
            journal.write(record)
            assert synced[-1] == path.stat().st_size
    assert len(synced) == 3


def test_one_holder_who_is_named(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert not lock.is_held(path)
    with lock.held(path, "rollout run"):
        assert lock.is_held(path)
        with pytest.raises(FleetLocked, match=rf"process {os.getpid()} on \S+ \(rollout run\)"), lock.held(path, "x"):
            pass
    assert not lock.is_held(path)


def test_the_lock_ends_with_its_process_however_that_ends(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    program = f"""
import os, pathlib, signal
from talos_gpu.rollout.lock import held
with held(pathlib.Path({str(path)!r}), "rollout run"):
    os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=Path(__file__).parents[2], check=False)
    assert done.returncode == -9
    assert path.read_text(), "it had the lock"
    with lock.held(path, "rollout resume"):
        pass


def test_no_lock_no_rollout(tmp_path: Path) -> None:
    (tmp_path / "lock").mkdir()
    with pytest.raises(FleetLocked, match="it cannot be opened: Is a directory"), lock.held(tmp_path / "lock", "x"):
        pass


@pytest.mark.parametrize("killed_before", ["plan.json", "journal.jsonl", "running.json"])
def test_killed_while_it_makes_room_for_a_new_rollout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed_before: str
) -> None:
    store, old, new = Store.of(tmp_path, "project", "home"), plan(), plan("other")
    store.begin(old)
    with Journal(store.journal) as journal:
        journal.write(BEGUN)
    real = Path.replace

    def replace(path: Path, target: Path) -> Path:
        if target.name == killed_before:
            raise KeyboardInterrupt
        return real(path, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", replace)
        with pytest.raises(KeyboardInterrupt):
            store.begin(new)
    if store.journal.exists():
        assert store.running_plan().hash == old.hash, "the journal stands without its plan"
    store.begin(new)
    assert store.running_plan().hash == new.hash
    assert not store.journal.exists()
    [past] = (store.folder / "history").iterdir()
    assert list(read(past / "journal.jsonl")) == [BEGUN]


def test_a_plan_of_another_version_is_refused(tmp_path: Path) -> None:
    store = Store.of(tmp_path, "project", "home")
    with pytest.raises(NotPlanned, match="there is no plan"):
        store.plan()
    with pytest.raises(NotPlanned, match="no rollout was begun"):
        store.running_plan()
    (store.folder / "plan.json").write_text('{"version": 99}')
    with pytest.raises(NotPlanned, match="cannot be read"):
        store.plan()


def test_holds_can_be_set_while_it_runs(tmp_path: Path) -> None:
    store = Store.of(tmp_path, "project", "home")
    held = store.held(plan())
    assert not held("a")
    store.save_holds(["a*"])
    assert held("a")
    assert held("a1")
    assert not held("b")
    store.save_holds([])
    assert not held("a")
