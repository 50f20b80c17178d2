"""Every check, in the order of the documentation: from the node's hardware to the workload."""

from __future__ import annotations

from collections.abc import Sequence

from talos_gpu.doctor.checks import access, cluster, containerd, fit, installer, node, runtime, spec, udev, workload
from talos_gpu.doctor.finding import Check

CHECKS: Sequence[Check] = (
    *access.CHECKS,
    *node.CHECKS,
    *udev.CHECKS,
    *spec.CHECKS,
    *fit.CHECKS,
    *containerd.CHECKS,
    *runtime.CHECKS,
    *cluster.CHECKS,
    *installer.CHECKS,
    *workload.CHECKS,
)
