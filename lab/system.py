"""System packages: which are missing, and installing them by apt, said before it is done."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable

from lab.errors import LabRefused, SystemPackagesMissing

NODE_PACKAGES = (
    "containernetworking-plugins",  # bridge, host-local, loopback, portmap: the node's CNI
    "conntrack",
    "iptables",
    "iproute2",
    "libseccomp-dev",  # runc links it statically
    "libc6-dev",
    "gcc",
    "pkg-config",
    "util-linux",
)
"""What the node's root and the build of its parts need (names of Debian 12 and Ubuntu 24.04)."""

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
"""Programs with which the tests look at a page."""


def browser_packages() -> tuple[str, ...]:
    """What the tests need beyond the lab: a browser, unless there is one (Ubuntu has it as a snap only)."""
    return () if any(map(shutil.which, BROWSERS)) else ("chromium",)


def missing(packages: Iterable[str]) -> list[str]:
    """Those of `packages` that dpkg does not list as installed, sorted."""
    wanted = sorted(set(packages))
    if shutil.which("dpkg-query") is None:
        raise LabRefused(
            "the lab builds its node from Debian's packages, and this system has no dpkg",
            remedy="run the lab on Debian 12 or later or Ubuntu 24.04; the Pulumi program itself needs none of it",
        )
    found = subprocess.run(
        ["dpkg-query", "-W", "-f", "${binary:Package} ${db:Status-Status}\n", *wanted],
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    installed = {line.split()[0].partition(":")[0] for line in found.splitlines() if line.endswith(" installed")}
    return [name for name in wanted if name not in installed]


def ensure(packages: Iterable[str]) -> None:
    """Install what is missing of `packages`, as root by apt; says so first.

    `LAB_APT=no` raises SystemPackagesMissing with the command instead of running it.
    """
    absent = missing(packages)
    if not absent:
        return
    command = ["apt-get", "install", "-y", "-o", "DPkg::Lock::Timeout=120", "--no-install-recommends", *absent]
    if os.environ.get("LAB_APT") == "no" or os.geteuid() != 0:
        raise SystemPackagesMissing(absent, command)
    print(f"Installing system packages with apt: {' '.join(absent)}", flush=True)
    environment = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
    for step in (["apt-get", "update", "-q"], command):
        done = subprocess.run(step, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise LabRefused(
                f"`{' '.join(step)}` failed:\n{(done.stdout + done.stderr).strip()[-2000:]}",
                remedy="mend apt, or install the packages by hand and run again",
            )


def need_root(what: str) -> None:
    """Raise LabRefused unless this process may make namespaces and mounts."""
    if os.geteuid() != 0:
        raise LabRefused(
            f"{what} needs root: it makes namespaces, mounts, cgroups and a bridge",
            remedy="run it as root; the pure tests (`make test-pure`) and the Pulumi program work without",
        )
