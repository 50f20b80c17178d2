"""Bundles: saved, read again, made by hand, without secrets; evidence that is not there."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from talos_gpu.doctor import render
from talos_gpu.doctor.bundle import Bundle, host, load, save
from talos_gpu.doctor.checks import CHECKS
from talos_gpu.doctor.diagnose import diagnose
from talos_gpu.doctor.errors import BundleInvalid
from talos_gpu.doctor.local import gather_local, local_checks
from tests.doctor.bundles import INSTALLED, P2000, Box, broken, healthy
from tests.doctor.fault import UNRESOLVABLE, create_fails

ROOT = Path(__file__).parents[2]


def test_a_bundle_comes_back_as_it_was(tmp_path: Path) -> None:
    bundle = broken(lambda box: box.file(INSTALLED, None))
    save(bundle, tmp_path / "b")
    again = load(tmp_path / "b")
    assert (again.texts, again.unread) == (bundle.texts, bundle.unread)


def test_a_bundle_is_never_written_over_something(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("mine")
    with pytest.raises(BundleInvalid, match="it is not empty"):
        save(healthy(), tmp_path)
    with pytest.raises(BundleInvalid, match="nothing in it is known evidence"):
        load(tmp_path)


def test_without_evidence_every_check_says_why_and_nothing_is_found() -> None:
    diagnosis = diagnose(Bundle({}, {}))
    assert diagnosis.findings == ()
    assert {one.check for one in diagnosis.not_run} == {check.name for check in CHECKS}
    assert all(one.reason for one in diagnosis.not_run)
    assert diagnosis.exit_code == 2


def test_what_a_role_may_not_read_is_named() -> None:
    def reader(box: Box) -> None:
        path = host("/proc/devices")
        del box.texts[path]
        box.unread[path] = "Read on 10.5.0.2: needs role os:admin, the certificate has os:reader"
        text = box.texts[host(INSTALLED)]
        box.edit(INSTALLED, "path: /dev/nvidia-uvm\n", "path: /dev/nvidia-uvm\n    major: 238\n    type: c\n")
        assert text != box.texts[host(INSTALLED)]

    reasons = {one.check: one.reason for one in diagnose(broken(reader)).not_run}
    assert reasons["uvm-major-moved"] == (
        "host/proc/devices: Read on 10.5.0.2: needs role os:admin, the certificate has os:reader"
    )


@pytest.mark.parametrize("key", sorted(healthy().texts))
def test_evidence_of_any_form_stops_nothing(key: str) -> None:
    for text in ("", "[]", "{}", '{"items": [1, {"metadata": null}]}', "\x00\xff", "null"):
        texts = {**healthy().texts, key: text}
        diagnose(Bundle(texts, healthy().unread))


def test_the_tree_as_a_person_reads_it() -> None:
    def spec_gone(box: Box) -> None:
        box.file(INSTALLED, None)
        create_fails(box, UNRESOLVABLE)

    text = render.as_text(diagnose(broken(spec_gone)))
    assert text.startswith(
        "talos05: 1 finding, 66 checks\n\nerror: spec-missing\n"
        "  evidence  no file in /etc/cdi, /var/run/cdi provides nvidia.com/gpu (no spec at all)\n"
    )
    assert "\n  explains pod-fails: pod media/tdarr-0: " in text


def machine(root: Path) -> None:
    """A machine of its own, without Talos: driver loaded, spec of the same version, libraries there."""
    texts = {
        "proc/modules": "nvidia 1 0 - Live 0x0\nnvidia_uvm 1 0 - Live 0x0\n",
        "proc/devices": "Character devices:\n195 nvidia\n511 nvidia-uvm\n",
        "proc/driver/nvidia/version": "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.247.01  Tue\n",
        "etc/cdi/nvidia.yaml": P2000,
        **{f"dev/{name}": "" for name in ("nvidia0", "nvidiactl", "nvidia-uvm")},
    }
    from talos_gpu.cdi import facts

    needed = facts(P2000)
    for path in (*needed.host_paths, *needed.executables):
        texts.setdefault(path.lstrip("/"), "")
    for path, text in texts.items():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        if not file.is_dir():
            file.write_text(text)
            file.chmod(0o666)


def local(root: Path) -> set[str]:
    return {finding.check for finding in diagnose(gather_local(root), local_checks(CHECKS)).roots}


def test_a_machine_without_talos_is_examined(tmp_path: Path) -> None:
    machine(tmp_path)
    assert local(tmp_path) == set()
    (tmp_path / "proc/driver/nvidia/version").write_text("NVRM version: x  570.172.08  Tue\n")
    assert local(tmp_path) == {"spec-stale"}
    (tmp_path / "etc/cdi/nvidia.yaml").unlink()
    assert local(tmp_path) == {"spec-missing"}
    (tmp_path / "proc/modules").write_text("")
    assert local(tmp_path) == {"module-not-loaded"}


@pytest.mark.parametrize(
    ("config", "found"),
    [
        ("version = 3\n", set()),
        ("version = 2\n", {"cdi-disabled"}),
        ('version = 2\n[plugins."io.containerd.grpc.v1.cri"]\nenable_cdi = true\n', set()),
        ('version = 3\n[plugins."io.containerd.cri.v1.runtime"]\nenable_cdi = false\n', {"cdi-disabled"}),
    ],
)
def test_the_machine_s_containerd_decides_which_section_and_default_count(
    tmp_path: Path, config: str, found: set[str]
) -> None:
    machine(tmp_path)
    (tmp_path / "etc/containerd").mkdir()
    (tmp_path / "etc/containerd/config.toml").write_text(config)
    assert local(tmp_path) == found


def test_the_command_diagnoses_a_folder_and_saves_another(tmp_path: Path) -> None:
    save(broken(lambda box: box.file(INSTALLED, None)), tmp_path / "in")
    words = ["doctor", "--from", str(tmp_path / "in"), "--save", str(tmp_path / "out"), "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "talos_gpu", *words], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (1, "")
    found = json.loads(done.stdout)["findings"]
    assert [one["check"] for one in found if not one["explained_by"]] == ["spec-missing"]
    assert (tmp_path / "out" / "meta.json").is_file()


def test_the_command_wants_one_subject() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "talos_gpu", "doctor"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "name a stack, or --from FOLDER, or --local" in done.stderr
