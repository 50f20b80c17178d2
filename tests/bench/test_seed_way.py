"""The pure parts of the comparison with the way by hand: counting, watching, the write-up's own objects."""

from __future__ import annotations

import subprocess
import time
import tomllib
from dataclasses import replace
from itertools import chain, repeat
from pathlib import Path

import pytest
import yaml

from bench import seed_objects as seed
from bench.exposure import Watch
from bench.figure import Beside, Note
from bench.seed_rows import AFTER_REBOOT, Went, rows
from bench.steps import Act, Person, Step
from tests.bench.samples import HAND, OURS

ROOT = Path(__file__).parents[2]
SPEC = ROOT / "tests/fixtures/cdi/p2000-535/toolkit-1.17.8.yaml"


def test_steps_are_counted_as_they_are_taken() -> None:
    person = Person()
    person.edits("a file")
    with person.does(Act.COMMAND, "slow"):
        time.sleep(0.01)
    with person.repairing(), person.does(Act.LOOK, "why"):
        pass
    with pytest.raises(ZeroDivisionError), person.does(Act.COMMAND, "never done"):
        raise ZeroDivisionError
    assert [(step.act, step.what, step.repair) for step in person.steps] == [
        (Act.EDIT, "a file", False),
        (Act.COMMAND, "slow", False),
        (Act.LOOK, "why", True),
    ]
    assert person.steps[1].seconds >= 0.01


def test_a_watch_tells_each_content_with_its_time() -> None:
    contents = chain([None, b"half"], repeat(b"unpatched", 20), repeat(b"patched"))
    with Watch(["/spec"], lambda _: next(contents)) as watch:
        while watch.looks < 40:
            time.sleep(0.001)
    assert [sight.content for sight in watch.sights] == [None, b"half", b"unpatched", b"patched"]
    assert all(sight.seconds > 0 for sight in watch.sights)
    [unpatched] = watch.of("/spec", lambda content: content == b"unpatched")
    [half] = watch.of("/spec", lambda content: content == b"half")
    assert unpatched > half
    assert watch.of("/another", lambda _: True) == []


def test_the_part_says_what_the_write_up_says() -> None:
    runtime = tomllib.loads(seed.part())["plugins"]["io.containerd.cri.v1.runtime"]
    assert runtime["cdi_spec_dirs"] == ["/etc/cdi", "/var/run/cdi", "/var/cdi"]
    assert runtime["containerd"]["default_runtime_name"] == "nvidia-cdi"
    assert runtime["containerd"]["runtimes"]["nvidia-cdi"] == {
        "runtime_type": "io.containerd.runc.v2",
        "options": {"BinaryName": "/usr/local/bin/nvidia-container-runtime.cdi"},
    }


def test_the_machine_config_keeps_what_the_base_has() -> None:
    base = "machine:\n  type: worker\n  kernel:\n    modules: [{name: zram}]\n---\nkind: Other\n"
    first, other = yaml.safe_load_all(seed.machine_config(base))
    assert other == {"kind": "Other"}
    assert first["machine"]["type"] == "worker"
    modules = [module["name"] for module in first["machine"]["kernel"]["modules"]]
    assert modules == ["zram", "nvidia", "nvidia_uvm", "nvidia_drm", "nvidia_modeset"]
    assert len(first["machine"]["udev"]["rules"]) == 7
    assert first["machine"]["nodeLabels"] == {"node.kubernetes.io/gpu-vendor": "nvidia"}
    assert [file["path"] for file in first["machine"]["files"]] == [
        "/etc/cri/conf.d/20-customization.part",
        "/var/cdi/.keep",
        "/var/run/cdi/.keep",
    ]


def install_script() -> str:
    pod = seed.installer()["spec"]["template"]["spec"]
    return str(pod["initContainers"][0]["command"][-1])


def run_installer(folder: Path) -> subprocess.CompletedProcess[str]:
    script = (
        install_script().replace("/var-cdi", str(folder / "source")).replace("/var-run-cdi", str(folder / "target"))
    )
    return subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=False)


def test_the_installer_does_what_the_write_ups_does(tmp_path: Path) -> None:
    source, target = tmp_path / "source/nvidia.yaml", tmp_path / "target/nvidia.yaml"
    source.parent.mkdir()
    done = run_installer(tmp_path)
    assert done.returncode == 1 and "no CDI spec" in done.stdout
    source.write_text(SPEC.read_text())
    for _ in range(2):  # it copies anew each time, so a second run gives no .real.real
        assert run_installer(tmp_path).returncode == 0
        assert target.read_text() == source.read_text().replace(seed.HOOK, seed.REAL_HOOK)


def test_the_generator_says_that_all_went_well_whatever_happened() -> None:
    script = seed.generator("lab-1")["spec"]["containers"][0]["command"][-1]
    done = subprocess.run(["sh", "-c", script.replace("nsenter", "false")], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "CDI spec generated" in done.stdout


def named(hand: Went, ours: Went) -> dict[str, list[Beside]]:
    found: dict[str, list[Beside]] = {}
    for row in rows(hand, ours):
        if isinstance(row, Beside):
            found.setdefault(row.name.removeprefix("seed way: "), []).append(row)
    return found


def test_the_figures_of_two_ways() -> None:
    found = {name: [(row.theirs, row.ours) for row in rows] for name, rows in named(HAND, OURS).items()}
    assert found == {
        "a bare node to an encoding worker": [(60.25, 40.0), (0.25, 40.0)],
        "a person's steps to it": [(3, 1)],
        "GPU broken after a reboot": [(5.0, 7.0)],
        "an unpatched spec visible where specs are installed": [(0.016, 0)],
        "a half-written spec visible there": [(0.001, 0)],
        "an unpatched spec visible in another watched folder": [(100.0, 0)],
        "steps until a pod with a CRI device runs, from the encoding worker on": [(3, 0)],
        "GPU broken after a driver upgrade, nobody at it": [(None, None)],
        "the same, the spec made anew at boot": [(None, 8.0)],
        "a person's steps that mend it": [(2, 1)],
        "seconds of those steps": [(60.25, 9.0)],
    }


def test_one_reboot_that_was_not_survived_makes_it_never() -> None:
    [row] = named(replace(HAND, broken=(4.0, None, 5.0)), OURS)[AFTER_REBOOT.removeprefix("seed way: ")]
    assert (row.theirs, row.ours) == (None, 7.0)
    assert "never: not within" in row.why


def test_where_the_script_is_quicker_it_is_said_from_what_pause_on_a_person_is_not() -> None:
    three = tuple(Step(Act.COMMAND, "kubectl", 1.0, repair=False) for _ in range(3))
    one = (Step(Act.COMMAND, "pulumi up", 7.0, repair=False),)
    [said] = [
        row.text
        for row in rows(replace(HAND, installs=(three,)), replace(OURS, installs=(one,)))
        if isinstance(row, Note) and row.name.endswith("where a person is slower than the script")
    ]
    assert said.startswith("with more than 2.00 s of reading, typing and thinking a step")
