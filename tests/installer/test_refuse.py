"""install.sh when a fact moved: nothing installed, what it installed withdrawn, what others installed left alone."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from talos_gpu.cdi import Strategy, facts, facts_file, patch
from tests.installer.host import REPOSITORY, Host

LIBRARY = "/usr/local/glibc/usr/lib/libcuda.so.535.247.01"
HOOK = "/usr/local/bin/nvidia-cdi-hook.real"


def _fifo(host: Host) -> None:
    host.path("/dev/nvidiactl").unlink()
    os.mkfifo(host.path("/dev/nvidiactl"))


def _loop(host: Host) -> None:
    host.path(LIBRARY).unlink()
    host.path(LIBRARY).symlink_to(LIBRARY)


def _dangling(host: Host) -> None:
    """A link to a file that is in the container, not on the host."""
    host.path(HOOK).unlink()
    host.path(HOOK).symlink_to("/bin/sh")


MOVED: dict[str, tuple[Callable[[Host], object], str]] = {
    "driver upgraded": (
        lambda host: host.load_driver("550.90.07"),
        "driver: the host has 550.90.07, the spec is for 535.247.01\n",
    ),
    "driver unloaded": (
        lambda host: host.path("proc/driver/nvidia/version").unlink(),
        "driver: not loaded (no version in /proc/driver/nvidia/version), the spec is for 535.247.01\n",
    ),
    "source gone": (
        lambda host: host.path("var/cdi/nvidia.yaml").unlink(),
        "source /var/cdi/nvidia.yaml: missing\n",
    ),
    "source another": (
        lambda host: host.path("var/cdi/nvidia.yaml").write_text("other"),
        "source /var/cdi/nvidia.yaml: not the one that was patched (sha256 d9298a10d1b0735837dc4bd85dac641b",
    ),
    "hook gone": (
        lambda host: host.path(HOOK).unlink(),
        f"hook binary {HOOK}: missing on the host ({HOOK})\n",
    ),
    "hook not executable": (
        lambda host: host.path(HOOK).chmod(0o644),
        f"hook binary {HOOK}: not executable\n",
    ),
    "hook is a link out of the host": (_dangling, f"hook binary {HOOK}: missing on the host (/bin)\n"),
    "library gone": (
        lambda host: host.path(LIBRARY).unlink(),
        f"path {LIBRARY}: missing on the host ({LIBRARY})\n",
    ),
    "library a loop of links": (_loop, f"path {LIBRARY}: missing on the host ({LIBRARY} (a loop of links))\n"),
    "device gone": (
        lambda host: host.path("/dev/nvidia-uvm").unlink(),
        "device /dev/nvidia-uvm: missing on the host (/dev/nvidia-uvm)\n",
    ),
    "device no character device": (_fifo, "device /dev/nvidiactl: not a character device\n"),
}


@pytest.mark.parametrize("case", MOVED)
def test_a_moved_fact_withdraws_the_spec_and_its_return_brings_it_back(host: Host, case: str) -> None:
    move, reason = MOVED[case]
    host.start()
    host.wait_installed()
    move(host)
    host.wait_refused(reason)
    assert not host.target.exists()
    assert not any(host.target.parent.iterdir())
    answer = host.check()
    assert answer.returncode == 1
    assert answer.stdout.startswith("not ready: refused\n")
    assert reason in answer.stdout
    assert "removed /var/run/cdi/nvidia.yaml: it was installed from here and no longer fits the host\n" in host.log


@pytest.mark.parametrize("case", MOVED)
def test_nothing_is_installed_on_a_host_that_does_not_fit(host: Host, case: str) -> None:
    move, reason = MOVED[case]
    move(host)
    host.start()
    host.wait_refused(reason)
    host.rounds(1)
    assert not host.target.exists()
    assert not host.target.parent.exists()


def test_when_the_fact_holds_again_the_spec_is_back(host: Host) -> None:
    host.start()
    host.wait_installed()
    host.load_driver("550.90.07")
    host.wait_refused("driver")
    host.load_driver("535.247.01")
    host.wait_installed()
    assert "the facts hold again\n" in host.log


def test_a_moved_fact_is_logged_once_and_again_when_it_changes(host: Host) -> None:
    host.load_driver("550.90.07")
    host.start()
    host.wait_refused("driver")
    host.rounds(3)
    assert host.log.count("REFUSED") == 1
    host.load_driver("570.172.08")
    host.wait_refused("driver: the host has 570.172.08")
    assert host.log.count("REFUSED") == 2


def test_every_moved_fact_is_named(host: Host) -> None:
    host.load_driver("550.90.07")
    host.path(HOOK).unlink()
    host.path(LIBRARY).unlink()
    host.start()
    host.wait_refused("hook binary")
    assert host.log.count("REFUSED") == 3


def test_a_spec_of_somebody_else_is_left_alone_and_named_once(host: Host) -> None:
    host.load_driver("550.90.07")
    host.target.parent.mkdir()
    host.target.write_text("made by the system")
    host.start()
    host.wait_log("left /var/run/cdi/nvidia.yaml alone: it was not installed from here")
    host.rounds(3)
    assert host.target.read_text() == "made by the system"
    assert host.log.count("left /var/run") == 1


def test_a_spec_that_somebody_put_over_ours_is_left_alone_too(host: Host) -> None:
    run = host.start()
    host.wait_installed()
    run.kill()
    run.wait()
    host.target.write_text("made by the system")
    host.load_driver("550.90.07")
    host.start()
    host.wait_log("left /var/run/cdi/nvidia.yaml alone")
    assert host.target.read_text() == "made by the system"


def test_a_target_that_cannot_be_written_is_an_error_at_every_look_and_left_alone_once(host: Host) -> None:
    host.target.mkdir(parents=True)
    host.start()
    host.wait_log("ERROR: cannot write /var/run/cdi/nvidia.yaml on the host", times=3)
    assert host.log.count("left /var/run/cdi/nvidia.yaml alone") == 1
    assert "refused\ntarget /var/run/cdi/nvidia.yaml: could not be written\n" in host.check().stdout
    host.target.rmdir()
    host.wait_installed()


def test_the_spec_of_an_earlier_run_is_withdrawn(host: Host) -> None:
    run = host.start()
    host.wait_installed()
    run.kill()
    run.wait()
    host.load_driver("550.90.07")
    host.start()
    host.wait_refused("driver")
    assert not host.target.exists()


@pytest.mark.parametrize(
    "break_payload",
    [
        lambda host: (host.payload / "nvidia.yaml").write_text(host.source),
        lambda host: (host.payload / "nvidia.yaml").unlink(),
        lambda host: (host.payload / "facts").unlink(),
        lambda host: (host.payload / "facts").write_text(f"spec_sha256 {host.patched.sha256}\n"),
    ],
    ids=["another spec", "no spec", "no facts", "facts without source and driver"],
)
def test_a_payload_that_does_not_belong_together_is_refused(
    host: Host, break_payload: Callable[[Host], object]
) -> None:
    break_payload(host)
    host.start()
    host.wait_refused("payload")
    assert not host.target.exists()


def test_stale_majors_are_refused_and_right_ones_installed(host: Host) -> None:
    """Toolkit 1.19 and later write majors; nvidia-uvm's moves at a reboot."""
    source = (REPOSITORY / "tests/fixtures/cdi/h100-580/toolkit-1.19.1.yaml").read_text()
    patched = patch(source, Strategy.REAL)
    of_spec = facts(patched.text)
    host.path("var/cdi/nvidia.yaml").write_text(source)
    host.load_driver("580.159.04")
    for path in (*of_spec.host_paths, *of_spec.executables):
        place = host.path(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        if path in of_spec.majors:
            place.unlink(missing_ok=True)
            os.mknod(place, 0o20666, os.makedev(*of_spec.majors[path]))
        elif not place.exists():
            place.write_text("")
    host.write_payload(patched.text, facts_file(patched, of_spec))
    host.start()
    host.wait_installed(patched.text)
    host.path("/dev/nvidia-uvm").unlink()
    os.mknod(host.path("/dev/nvidia-uvm"), 0o20666, os.makedev(511, 0))
    host.wait_refused("device /dev/nvidia-uvm: the host has 511:0, the spec says 238:0\n")
    assert not host.target.exists()
