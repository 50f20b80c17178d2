"""`verify: true` on the lab: an `up` proves the GPU in its worker, and fails where it does not encode."""

from __future__ import annotations

import pytest

from tests.lab.conftest import MainJob
from tests.lab.verifying import pretending

pytestmark = pytest.mark.lab

KIND = "pulumi-python:dynamic/gpu:Verified"
LOST = (
    "hevc_nvenc: The encoder began and then failed in the middle of the work: the GPU fell off the bus, was reset, or "
    "its driver crashed."
)


def verified(job: MainJob) -> bool:
    return any(resource["type"] == KIND for resource in job.stack.resources())


def test_an_up_fails_unless_the_gpu_encodes_and_a_refresh_sees_when_it_no_longer_does(job: MainJob) -> None:
    job.up()  # a worker that was scaled by hand meanwhile is another one to prove
    with job.configured(verify=True):
        with pretending(job, encode_fail="30:20"):
            done = job.stack.operation("up", "--skip-preview", check=False)
            assert done.returncode, done.stdout
            said = " ".join((done.stdout + done.stderr).split())
            assert f"the GPU of {job.node.name} is not fit: {LOST}" in said, said
            assert "remedy: talosctl dmesg | grep -i xid" in said
            assert "Traceback" not in said
            assert not verified(job), "a GPU that failed is recorded as proven"

        job.stack.operation("up", "--skip-preview")
        outputs = job.stack.outputs_of(KIND)
        assert outputs["proofs"]["decode"] == "30 frames of H.264 decoded by NVDEC."
        assert outputs["proofs"]["hevc_nvenc"].startswith("60 frames encoded by hevc_nvenc at ")
        assert outputs["pretended"] is True
        assert job.quiet()

        with pretending(job, encode_fail="30:20"):
            assert LOST in " ".join(job.refreshed().split())
            done = job.stack.operation("up", "--refresh", "--skip-preview", check=False)
            assert done.returncode, done.stdout
            assert LOST in " ".join((done.stdout + done.stderr).split())
        assert job.quiet(), "a GPU that encodes again is still said to be lost"
    job.up()
    assert not verified(job)
