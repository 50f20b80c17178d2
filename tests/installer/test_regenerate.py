"""install.sh with REGENERATE=boot: it generates for a host that moved, and says whose spec that is."""

from __future__ import annotations

import pytest

from tests.installer.host import Host

NEW_DRIVER = "550.90.07"
HOOK = "/usr/local/bin/nvidia-cdi-hook.real"
# stands for nsenter: writes down how it was called, and the spec where nvidia-ctk would
NSENTER = """#!/bin/sh
printf '%s\\n' "$*" >>"$HOST_ROOT/calls"
{body}
"""
GENERATES = """mkdir -p "$HOST_ROOT/run/nvidia-cdi-init"
cp "$HOST_ROOT/generated" "$HOST_ROOT/run/nvidia-cdi-init/nvidia.yaml"
"""


def _nsenter(host: Host, body: str) -> None:
    tool = host.path("tools/nsenter")
    tool.write_text(NSENTER.format(body=body))
    tool.chmod(0o755)


@pytest.fixture
def moved(host: Host) -> Host:
    """A host whose driver was upgraded under an unchanged source; nvidia-ctk generates a spec that fits."""
    host.regenerate = "boot"
    host.load_driver(NEW_DRIVER)
    host.path("generated").write_text(host.patched.text.replace("535.247.01", NEW_DRIVER))
    _nsenter(host, GENERATES)
    return host


def test_a_moved_driver_gets_a_spec_of_the_installers_own(moved: Host) -> None:
    moved.start()
    moved.wait_installed(moved.path("generated").read_text())
    assert "this spec is the installer's own, not the stack's: sha256 " in moved.log
    assert moved.path("calls").read_text() == (
        "-t 1 -m -u -i -n -p -- /usr/local/bin/nvidia-ctk cdi generate "
        f"--nvidia-cdi-hook-path={HOOK} --output=/run/nvidia-cdi-init/nvidia.yaml\n"
    )


def test_the_stacks_flags_are_words_of_the_generators(moved: Host) -> None:
    moved.generate_flags = "--mode=nvml --library-search-path=/usr/lib"
    moved.start()
    moved.wait_installed(moved.path("generated").read_text())
    assert moved.path("calls").read_text().split()[-3:] == [
        "--output=/run/nvidia-cdi-init/nvidia.yaml",
        "--mode=nvml",
        "--library-search-path=/usr/lib",
    ]


def test_it_generates_once(moved: Host) -> None:
    moved.start()
    moved.wait_installed(moved.path("generated").read_text())
    moved.rounds(3)
    assert moved.path("calls").read_text().count("generate") == 1


@pytest.mark.parametrize("text", [None, "other"], ids=["missing", "another"])
def test_a_source_that_is_not_the_patched_one_is_cured(moved: Host, text: str | None) -> None:
    moved.load_driver("535.247.01")
    moved.path("generated").write_text(moved.patched.text + "# anew\n")
    source = moved.path("var/cdi/nvidia.yaml")
    source.unlink() if text is None else source.write_text(text)
    moved.start()
    moved.wait_installed(moved.path("generated").read_text())


def test_the_stacks_spec_comes_back_when_the_facts_hold(moved: Host) -> None:
    moved.start()
    moved.wait_installed(moved.path("generated").read_text())
    moved.load_driver("535.247.01")
    moved.wait_installed(moved.patched.text)


def test_a_driver_that_moves_again_is_generated_for_again(moved: Host) -> None:
    moved.start()
    moved.wait_installed(moved.path("generated").read_text())
    moved.path("generated").write_text(moved.patched.text.replace("535.247.01", "570.172.08"))
    moved.load_driver("570.172.08")
    moved.wait_installed(moved.path("generated").read_text())


def test_an_edited_own_spec_is_put_back(moved: Host) -> None:
    moved.start()
    moved.wait_installed(moved.path("generated").read_text())
    moved.target.write_text("edited")
    moved.wait_installed(moved.path("generated").read_text())


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (
            "echo first; echo 'failed to initialize NVML'; exit 3",
            "ERROR: nvidia-ctk cdi generate failed (3): failed",
        ),
        (":", "ERROR: nvidia-ctk left no spec at /run/nvidia-cdi-init/nvidia.yaml"),
        (
            'mkdir -p "$HOST_ROOT/run/nvidia-cdi-init"; echo {} >"$HOST_ROOT/run/nvidia-cdi-init/nvidia.yaml"',
            "ERROR: the generated spec names neither driver 550.90.07 nor",
        ),
    ],
    ids=["fails", "writes nothing", "writes nonsense"],
)
def test_a_failed_generation_installs_nothing_and_tells_why(moved: Host, body: str, told: str) -> None:
    _nsenter(moved, body)
    moved.start()
    moved.wait_log(told)
    moved.rounds(2)
    assert not moved.target.exists()
    assert moved.log.count(told) == 1
    assert moved.check().returncode == 1


@pytest.mark.parametrize("gone", ["/dev/nvidia0", "/usr/local/glibc/usr/lib/libcuda.so.535.247.01"])
def test_a_node_or_path_that_is_gone_is_generated_for_once(moved: Host, gone: str) -> None:
    moved.load_driver("535.247.01")
    moved.path("generated").write_text(moved.patched.text + "# without it\n")
    moved.start()
    moved.wait_installed()
    moved.path(gone).unlink()
    moved.wait_installed(moved.path("generated").read_text())
    moved.rounds(3)
    assert moved.path("calls").read_text().count("generate") == 1


LATE = ("/dev/nvidiactl", "/dev/nvidia0", "/dev/nvidia-uvm")
# stands for the sleep between two looks: before each the next of the late nodes comes
SLEEP = """#!/bin/sh
for node in {nodes}; do
    [ -e "$HOST_ROOT$node.late" ] && mv "$HOST_ROOT$node.late" "$HOST_ROOT$node" && break
done
exec /bin/sleep "$@"
"""


def test_nodes_that_are_only_late_are_waited_for(moved: Host) -> None:
    moved.load_driver("535.247.01")
    for node in LATE:
        moved.path(node).rename(moved.path(f"{node}.late"))
    sleep = moved.path("tools/sleep")
    sleep.write_text(SLEEP.format(nodes=" ".join(LATE)))
    sleep.chmod(0o755)
    moved.start()
    moved.wait_installed()
    assert moved.log.count("REFUSED: device") == len(LATE)
    assert not moved.path("calls").exists()


@pytest.mark.parametrize(("again_cs", "times"), [(0, 2), (3000, 1)], ids=["later", "not yet"])
def test_something_else_that_is_gone_is_generated_for_after_a_while(moved: Host, again_cs: int, times: int) -> None:
    moved.load_driver("535.247.01")
    moved.generate_again_cs = again_cs
    moved.path("generated").write_text(moved.patched.text + "# anew\n")
    moved.path("/dev/nvidia0").unlink()
    moved.start()
    moved.wait_installed(moved.path("generated").read_text())
    moved.path("/dev/nvidia-modeset").unlink()
    moved.wait_log("REFUSED: device /dev/nvidia-modeset")
    moved.rounds(3)
    assert moved.path("calls").read_text().count("generate") == times
    assert moved.installed() == moved.path("generated").read_text()


@pytest.mark.parametrize("gone", [HOOK, "proc/driver/nvidia/version"])
def test_what_generating_would_not_mend_is_not_generated_for(moved: Host, gone: str) -> None:
    moved.path(gone).unlink()
    moved.start()
    moved.wait_log("REFUSED")
    moved.rounds(2)
    assert not moved.path("calls").exists()
    assert not moved.target.exists()


def test_never_means_never(moved: Host) -> None:
    moved.regenerate = "never"
    moved.start()
    moved.wait_refused("driver")
    assert not moved.path("calls").exists()
