"""A rollout on three lab nodes that stops, in each way in which it must, and then ends well."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab import fleet, kubectl
from talos_gpu.rollout.gates import BUILT_IN
from tests.lab.broken_node import device, installed
from tests.lab.conftest import MainJob, wait_for
from tests.lab.fleets import COMMAND_S, REBOOTS, Fleet, following, started
from tests.lab.verifying import pretending, transcoding

pytestmark = pytest.mark.lab

LABEL = "example.com/rollout"
BUSY_S = 60
"""Seconds that the encode gate waits for a transcode here."""
HERE_NAME = "here"
HERE = 'touch "$0/$ROLLOUT_STACK.asked"; while [ ! -e "$0/$ROLLOUT_STACK.go" ]; do sleep 0.1; done'
"""A gate that says that it is asked, and passes when it is let."""
STALE = {"path": "/dev/nvidia-uvm", "type": "c", "major": 238, "minor": 0}
AWAY_S = 40
"""Seconds within which the node must be back that does not come back."""


@pytest.fixture(scope="module")
def three(binaries: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Three nodes, every one encoding; a worker is Ready whatever its GPU says, so that the gates judge that alone."""
    with started("test-stops", binaries, [3], {"tdarr": {"readiness": "none"}}) as made:
        here = tmp_path_factory.mktemp("here")
        timeouts = {"encode": BUSY_S}
        gates = [{"name": name, "timeout_s": timeouts.get(name, fleet.GATE_S)} for name in BUILT_IN]
        first = {"name": HERE_NAME, "command": ["sh", "-c", HERE, str(here)]}
        fleet.write_rollout(made.lab, {"waves": [{"count": 1}], "gates": [first, *gates]})
        for stack in made.stacks:
            (here / f"{stack.name}.go").touch()
        made.here = here
        yield made


@contextmanager
def broken(
    three: Fleet, words: Sequence[str], job: MainJob, breaking: Callable[[MainJob], AbstractContextManager[None]]
) -> Iterator[str]:
    """A rollout whose stack's GPU breaks between update and gates, so that it fails; broken still in the block.

    Yields what it printed.
    """
    asked, go = (three.here / f"{job.stack.name}.{which}" for which in ("asked", "go"))
    go.unlink()
    process = three.start(words)
    wait_for("its gates are asked, or it has ended", lambda: asked.exists() or process.poll() is not None, COMMAND_S)
    with breaking(job):
        go.touch()
        out, err = process.communicate(timeout=COMMAND_S)
        assert process.returncode == 1, out + err
        yield out


def labelled(job: MainJob, value: str) -> None:
    """Want another label on the node: a change of the machine config that restarts nothing."""
    talos = job.lab.paths.talos
    config = yaml.safe_load((talos / f"{job.node.name}.yaml").read_text())
    config["machine"].setdefault("nodeLabels", {})[LABEL] = value
    base = talos / f"{job.node.name}-{value}.yaml"
    base.write_text(yaml.safe_dump(config))
    job.stack.write_config({"machine": {"base": str(base)}})


def label(job: MainJob) -> str | None:
    labels: Mapping[str, str] = kubectl.get(job.lab, "node", job.node.name)["metadata"]["labels"]
    return labels.get(LABEL)


@contextmanager
def no_device(job: MainJob) -> Iterator[None]:
    """The GPU is gone: its device node, and what CUDA counts."""
    with device(job, "nvidia0"), pretending(job, devices=0):
        yield


@contextmanager
def stale_major(job: MainJob) -> Iterator[None]:
    """A spec as toolkit 1.19 writes it, of a boot at which nvidia-uvm had another major."""

    def change(text: str) -> str:
        spec = yaml.safe_load(text)
        for node in spec["containerEdits"]["deviceNodes"]:
            if node["path"] == STALE["path"]:
                node.update(STALE)
        return yaml.safe_dump(spec)

    with installed(job, change):
        yield


def stopped_at(three: Fleet, stack: str, said: str, root: str) -> list[str]:
    """Fails unless the rollout stopped at a stack whose cause is the doctor's; returns the words of the next command.

    To be asked while the stack's node is broken still.
    """
    findings = three.doctor(stack)
    assert [finding["check"] for finding in findings] == [root], f"{findings}\n{said}"
    [finding] = findings
    found = three.report()[stack]
    assert found["state"] == "failed"
    assert f"doctor: {root}: {finding['cause']} ({finding['evidence']}); {finding['remedy']}" in found["cause"]
    assert [one["cause"] for one in found["steps"][-1]["doctor"]] == [finding["cause"]]
    assert finding["cause"] in said, "what was printed does not name it"
    return following(said)


def test_a_broken_gpu_stops_it_at_its_wave_and_what_cannot_tell_does_too(three: Fleet) -> None:
    first, second, third = (three[name] for name in ("lab", "lab-2", "lab-3"))
    for job in (first, second, third):
        labelled(job, "one")
    three.planned()

    with broken(three, three.words("run"), first, no_device) as said:
        resume = stopped_at(three, "lab", said, "device-node-missing")
    assert resume[-1] == "resume"
    assert [label(job) for job in (first, second, third)] == ["one", None, None]
    untouched = {name: found for name, found in three.report().items() if name != "lab"}
    assert {(found["state"], len(found["steps"])) for found in untouched.values()} == {("not-started", 0)}

    with broken(three, resume, second, stale_major) as said:
        assert stopped_at(three, "lab-2", said, "uvm-major-moved") == resume
    assert [label(job) for job in (first, second, third)] == ["one", "one", None]
    assert {name: found["state"] for name, found in three.report().items()} == {
        "lab": "done",
        "lab-2": "failed",
        "lab-3": "not-started",
    }

    with three.running("resume") as rollout:
        rollout.until("the second is in work", lambda event: event["kind"] == "started" and event["stack"] == "lab-2")
        held = three.rollout("hold", "lab-3")
        assert held.returncode == 0, held.stderr
        assert rollout.ended() == 0, rollout.events[-5:]
    assert rollout.finals() == {"lab": "done", "lab-2": "done", "lab-3": "held"}
    assert label(third) is None, "a stack on hold was touched"
    assert three.rollout("release", "lab-3").returncode == 0

    with transcoding(third.stack, seconds=3600, live=True):
        done = three.run(resume)
    assert done.returncode == 1, done.stdout + done.stderr
    found = three.report()["lab-3"]
    assert (found["state"], found["reason"]) == ("failed", "gate-unknown")
    assert (
        "gate encode could not tell: hevc_nvenc, h264_nvenc, decode, cuda: Not tried: the encoder is busy with"
        in (found["cause"])
    )
    assert f"(still so after {BUSY_S} s)" in found["cause"]
    assert "doctor: nothing wrong found" in found["cause"]

    done = three.run(resume)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "complete: 3 done" in done.stdout
    assert [label(job) for job in (first, second, third)] == ["one"] * 3


def test_a_node_that_never_comes_back_stops_it_and_a_kill_in_a_reboot_is_resumed(three: Fleet) -> None:
    first, second, third = (three[name] for name in ("lab", "lab-2", "lab-3"))
    for job in (first, second, third):
        job.stack.write_config(REBOOTS)
    first.stack.write_config({**REBOOTS, "machine": {"ready_timeout_s": AWAY_S}})
    three.planned()
    before, profile = three.boots(), first.node.profile()
    first.node.write_profile({**profile, "boot_delay_s": 3600})
    with ExitStack() as mended:
        mended.callback(comes_back, first, profile)
        done = three.rollout("run")
    assert done.returncode == 1, done.stdout + done.stderr
    found = three.report()
    assert {name: stack["state"] for name, stack in found.items()} == {
        "lab": "failed",
        "lab-2": "not-started",
        "lab-3": "not-started",
    }
    assert found["lab"]["reason"] == "update-failed"
    assert f"lab-1 was not ready within {AWAY_S} s; condition api, last seen: " in found["lab"]["cause"]
    assert "doctor: node-not-ready" in found["lab"]["cause"]
    after = three.boots()
    assert {name for name in after if after[name] != before[name]} == {"lab"}

    words = following(done.stdout)
    boot = second.node.pid
    killed = three.start(words)
    wait_for("the second node is in the middle of its reboot", lambda: second.node.pid != boot, 240)
    killed.kill()
    killed.communicate()
    again = three.run(words)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "lab: recheck ok" in again.stdout, again.stdout
    assert "complete: 3 done" in again.stdout
    updates = [step for step in three.report()["lab-2"]["steps"] if step["step"] == "update"]
    assert [step["ok"] for step in updates] == [True], "the update that outlived its rollout was not waited for"
    assert all(boot != before[name] for name, boot in three.boots().items())


def comes_back(job: MainJob, profile: Mapping[str, Any]) -> None:
    job.node.write_profile(profile)
    job.node.stop()
    job.node.start()
    job.node.wait_containerd()
    kubectl.wait_node_ready(job.lab, [job.node.name])
