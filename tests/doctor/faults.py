"""Every fault that is made in saved evidence."""

from __future__ import annotations

from tests.doctor import cluster_faults, node_faults, runtime_faults, spec_faults, workload_faults  # noqa: F401 (they register)
from tests.doctor.fault import FAULTS

__all__ = ["FAULTS", "PAIRS"]
PAIRS = (
    ("an image by tag", "nothing installed after a reboot"),
    ("toolkit older than 1.17.8", "kernel modules not declared"),
    ("client certificate at its end", "RuntimeClass deleted"),
    ("Tdarr's server not there", "the installed spec was edited"),
    ("GPU label missing: the installer has 0 pods and counts as ready", "toolkit older than 1.17.8"),
    ("a containerd part that is no TOML", "no GPU on the bus"),
    ("the seed's generator pod and DaemonSet still there", "the spec installed without the patch"),
    ("a taint that nothing tolerates", "a udev rule takes the device node's permissions away"),
    ("server and worker mount media at different paths", "another driver since the spec was made"),
    ("no containerd part", "the installed spec was edited"),
    ("the seed's default runtime left in the part", "ffmpeg 7 on driver 535"),
    ("RuntimeClass with a handler that containerd lacks", "the generated spec was deleted"),
)
"""Faults that are made together; both roots must be found."""
