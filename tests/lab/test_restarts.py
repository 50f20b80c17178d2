"""A machine config that needs a restart where the stack forbids one, or leaves it to the user."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.lab.conftest import MainJob

pytestmark = pytest.mark.lab


@contextmanager
def needing_a_boot(job: MainJob, folder: Path, **machine: Any) -> Iterator[None]:
    """The stack with a base that a running node does not take, and keys of `machine`; and back, on the node too."""
    base = folder / "base.yaml"
    text = (job.lab.paths.talos / f"{job.node.name}.yaml").read_text()
    base.write_text(text.replace("machine:\n", "machine:\n    env:\n        LAB_RESTARTS: 'yes'\n", 1))
    boot = job.boot_id()
    try:
        with job.configured(machine={"base": str(base), **machine}):
            yield
    finally:
        job.up()
    assert job.boot_id() == boot
    assert job.quiet()


@pytest.mark.parametrize(
    ("machine", "said"),
    [
        ({"reboot": "forbid"}, "the stack says machine.reboot: forbid, and nothing was applied"),
        ({"apply_mode": "no_reboot"}, "the stack says machine.apply_mode: no_reboot, and nothing was applied"),
    ],
    ids=["forbid", "no_reboot"],
)
def test_a_restart_that_the_stack_forbids_is_refused(
    job: MainJob, tmp_path: Path, machine: dict[str, Any], said: str
) -> None:
    with needing_a_boot(job, tmp_path, **machine):
        done = job.stack.operation("up", "--skip-preview", check=False)
        told = " ".join((done.stdout + done.stderr).split())
        assert done.returncode, told
        assert f"{job.node.name} would have to restart: " in told, told
        assert said in told, told


def test_a_staged_config_waits_for_a_boot_that_is_the_users(job: MainJob, tmp_path: Path) -> None:
    boot = job.boot_id()
    with needing_a_boot(job, tmp_path, apply_mode="staged"):
        job.up()
        assert job.stack.outputs()["reboot_pending"] is True
        assert job.boot_id() == boot
    assert job.stack.outputs()["reboot_pending"] is False
