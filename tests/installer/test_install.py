"""install.sh while the host fits the spec: install, repair, restart, never a wrong file in sight."""

from __future__ import annotations

import re
import signal
import threading
import time
from pathlib import Path

import pytest

from tests.installer.host import Host, wait_for


def test_the_patched_spec_is_installed_with_its_bytes_and_mode(host: Host) -> None:
    host.start()
    host.wait_installed()
    assert host.target.read_bytes() == host.patched.text.encode()
    assert host.target.stat().st_mode & 0o7777 == 0o644


def test_the_log_tells_what_was_installed(host: Host) -> None:
    host.start()
    host.wait_installed()
    assert host.log == (
        "=== NVIDIA CDI Spec Initializer ===\n"
        f"node lab-1, source /var/cdi/nvidia.yaml (patched from sha256 {host.patched.source_sha256}), "
        "target /var/run/cdi/nvidia.yaml\n"
        "CDI spec copied successfully to /var/run/cdi/nvidia.yaml: the stack's spec, "
        f"sha256 {host.patched.sha256}; before: it was missing\n"
        "Devices in spec: nvidia.com/gpu=0, GPU-3b1f2c4d-5e6f-7a8b-9c0d-1e2f3a4b5c6d, all\n"
        "Hook paths: /usr/local/bin/nvidia-cdi-hook.real\n"
    )
    assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ ", line) for line in host.log_file.read_text().splitlines())


def test_a_missing_spec_is_put_back(host: Host) -> None:
    host.start()
    host.wait_installed()
    host.target.unlink()
    host.wait_installed()
    host.wait_log("put /var/run/cdi/nvidia.yaml back: it was missing\n")


def test_a_missing_folder_is_made_again(host: Host) -> None:
    host.start()
    host.wait_installed()
    host.target.parent.rename(host.base / "gone")  # at once: the installer may look at any moment
    host.wait_installed()
    assert host.target.parent.stat().st_mode & 0o7777 == 0o755


def test_an_edited_spec_is_put_back_and_named(host: Host) -> None:
    host.start()
    host.wait_installed()
    edited = host.base / "edited"
    edited.write_text(host.source)
    edited.rename(host.target)
    host.wait_installed()
    host.wait_log(f"something else lay there (sha256 {host.patched.source_sha256})\n")


def test_a_link_in_place_of_the_spec_is_replaced_and_not_followed(host: Host, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("precious")
    host.target.parent.mkdir()
    host.target.symlink_to(precious)
    host.start()
    host.wait_installed()
    assert not host.target.is_symlink()
    assert precious.read_text() == "precious"


def test_links_of_the_host_are_followed_inside_it(host: Host) -> None:
    """Absolute links on the way to the source, the target and a hook binary."""
    inside = host.root / "opt/real"
    inside.mkdir(parents=True)
    (host.root / "usr/local/bin/nvidia-cdi-hook.real").rename(inside / "hook")
    (host.root / "usr/local/bin/nvidia-cdi-hook.real").symlink_to("/opt/real/../real/hook")
    (host.root / "var/cdi").rename(host.root / "opt/cdi")
    (host.root / "var/cdi").symlink_to("../opt/cdi")
    host.start()
    host.wait_installed()


def test_nothing_is_written_beside_the_target_and_its_marker(host: Host) -> None:
    before = host.files()
    host.start()
    host.wait_installed()
    host.target.unlink()
    host.wait_installed()
    host.rounds(2)
    added = host.files() - before
    assert added == {"run/cdi", "run/cdi/nvidia.yaml", "run/cdi/.nvidia.yaml.nvidia-cdi-init"}


def test_a_restart_keeps_the_spec_and_says_so(host: Host) -> None:
    first = host.start()
    host.wait_installed()
    inode = host.target.stat().st_ino
    first.terminate()
    first.wait()
    host.start()
    host.wait_log("is installed already")
    assert host.target.stat().st_ino == inode


def test_sigterm_ends_it_at_once_and_leaves_the_spec(host: Host) -> None:
    run = host.start(interval=600)
    host.wait_installed()
    run.send_signal(signal.SIGTERM)
    assert run.wait(timeout=60) == 0
    assert host.installed() == host.patched.text
    assert host.log.endswith("stopping; the spec stays installed\n")


def test_a_reader_never_sees_anything_but_the_patched_spec(host: Host) -> None:
    """20 restarts, each writes the file again, half of them killed while at it; the reader polls without pause."""
    seen: set[str] = set()
    installed = threading.Event()
    ended = threading.Event()

    def read() -> None:
        while not ended.is_set():
            text = host.installed()
            if text is not None or installed.is_set():
                seen.add("missing" if text is None else "patched" if text == host.patched.text else "wrong")

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for restart in range(20):
            # without its marker the installer writes the file again
            (host.target.parent / ".nvidia.yaml.nvidia-cdi-init").unlink(missing_ok=True)
            told = in_place(host)
            run = host.start()
            if restart == 0:
                host.wait_installed()
                installed.set()
            elif restart % 2:
                time.sleep(0.03 + restart * 0.003)
                run.kill()
            else:

                def said(before: int = told) -> bool:
                    return in_place(host) > before

                wait_for("it says that its spec is in place", said, lambda: host.log)
            run.terminate()
            run.wait()
    finally:
        ended.set()
        reader.join()
    assert seen == {"patched"}
    assert host.log.count("CDI spec copied") > 1, "the file was not written again"


def in_place(host: Host) -> int:
    """How often a run said so: a command that outlived a killed run may have put the marker back meanwhile."""
    return host.log.count("CDI spec copied") + host.log.count("is installed already")


def test_what_a_killed_run_left_half_written_is_cleaned_up(host: Host) -> None:
    host.target.parent.mkdir()
    half = host.target.parent / ".nvidia.yaml.nvidia-cdi-init-tmp.4711"
    half.write_text("cdiVersion: 0")
    other = host.target.parent / "vendor.yaml"
    other.write_text("another vendor's")
    host.start()
    host.wait_installed()
    assert not half.exists()
    assert other.read_text() == "another vendor's"


def test_a_new_payload_is_taken_over_without_a_restart(host: Host) -> None:
    from talos_gpu.cdi import Strategy, facts, facts_file, patch

    host.start()
    host.wait_installed()
    source = host.source + "# generated anew\n"
    host.path("var/cdi/nvidia.yaml").write_text(source)
    host.wait_log("REFUSED: source")
    patched = patch(source, Strategy.REAL)
    (host.payload / "nvidia.yaml").write_text(patched.text)
    host.rounds(1)
    assert host.installed() is None, "a payload of two halves is not installed"
    (host.payload / "facts").write_text(facts_file(patched, facts(patched.text)))
    host.wait_installed(patched.text)


def test_readiness_fails_before_the_first_look_and_when_the_loop_stopped(host: Host) -> None:
    assert host.check().stdout == "not ready: not looked at the host yet\n"
    run = host.start()
    host.wait_installed()
    run.kill()
    run.wait()
    wait_for("stale readiness", lambda: host.check().returncode == 1, lambda: host.check().stdout)
    assert "last looked at the host" in host.check().stdout


@pytest.mark.parametrize(("interval", "most"), [(5, 1500), (0.2, 60), (2.5, 750), (1.08, 324), (600, 180_000)])
def test_readiness_allows_three_intervals_since_the_last_look(host: Host, interval: float, most: int) -> None:
    host.interval = interval
    host.status.parent.mkdir(parents=True, exist_ok=True)
    host.status.write_text("state installed\nat_cs -1000000\nspec_sha256 none\n")
    answer = host.check()
    assert answer.returncode == 1
    assert answer.stdout.endswith(f" hundredths of a second ago, at most {most}\n")


def test_readiness_fails_while_the_spec_is_another(host: Host) -> None:
    host.start(interval=600)  # it does not look again
    host.wait_installed()
    host.target.write_text("edited")
    answer = host.check()
    assert answer.returncode == 1
    assert answer.stdout.startswith("not ready: /var/run/cdi/nvidia.yaml is not the installed spec (")
