"""After a reboot of the node: what is past is no finding."""

from __future__ import annotations

from talos_gpu.doctor.diagnose import diagnose
from tests.doctor.bundles import Box, broken
from tests.doctor.fault import UNRESOLVABLE


def test_a_worker_that_failed_at_the_last_boot_and_runs_since_is_no_finding() -> None:
    """As after any reboot: the kubelet may start it before the installer has put the spec back."""

    def rebooted(box: Box) -> None:
        [status] = box.worker["status"]["containerStatuses"]
        status["lastState"] = {"terminated": {"reason": "StartError", "exitCode": 128, "message": UNRESOLVABLE}}
        status["restartCount"] = 2
        box.event(box.worker, "Back-off restarting failed container tdarr-node", reason="BackOff")

    assert diagnose(broken(rebooted)).findings == ()
