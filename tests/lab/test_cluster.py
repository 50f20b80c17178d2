"""The lab itself: what it starts answers, and `down` leaves nothing behind."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from lab import kubectl
from lab.cluster.pki import Authority
from lab.lab import Lab
from lab.paths import LabPaths
from lab.process import start_time
from lab.reboot import reboot_node

pytestmark = pytest.mark.lab


def links(lab: Lab) -> set[str]:
    """The interfaces of a lab that runs: its bridge and what hangs on it."""
    bridge = lab.bridge.name
    return {link["ifname"] for link in all_links() if bridge in (link["ifname"], link.get("master"))}


def all_links() -> list[dict[str, str]]:
    found: list[dict[str, str]] = json.loads(
        subprocess.run(["ip", "-j", "link"], capture_output=True, text=True, check=True).stdout
    )
    return found


def shared() -> set[str]:
    """This machine's mounts and rules, without what counts or tells the time.

    The lab makes mounts and rules inside its nodes only: any new one has escaped from there.
    """
    rules = subprocess.run(["iptables-save"], capture_output=True, text=True, check=False).stdout
    kept = {re.sub(r"\[\d+:\d+\]", "", line) for line in rules.splitlines() if not line.startswith("#")}
    return {*Path("/proc/mounts").read_text().splitlines(), *kept}


def leftovers(lab: Lab, links: set[str]) -> list[str]:
    """What of a lab can still be seen on this machine: processes, cgroups, interfaces; for the rest see `shared`.

    Another lab may be up beside it, so interfaces are told by the names that this one had.
    """
    root, found = str(lab.paths.root), []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if root in command:
            found.append(f"process {process.name}: {command[:120]}")
    found += [str(path) for path in Path("/sys/fs/cgroup").glob(f"*/talos-lab-{lab.paths.tag}-*")]
    found += [link["ifname"] for link in all_links() if link["ifname"] in links]
    return found


def test_a_lab_comes_up_reboots_and_leaves_nothing(binaries: Path) -> None:
    lab = Lab("test-cluster", binaries)
    lab.down()
    before_it = shared()
    try:
        lab.make(["lab-1"])
        lab.start(lambda _: None)
        kubectl.wait_node_ready(lab, ["lab-1"])
        node = kubectl.get(lab, "node", "lab-1")
        assert node["status"]["nodeInfo"]["containerRuntimeVersion"] == "containerd://2.1.4"
        assert node["metadata"]["labels"]["kubernetes.io/hostname"] == "lab-1"

        before, after = reboot_node(lab)
        assert before != after
        kubectl.wait_node_ready(lab, ["lab-1"])

        pids = [daemon.pid for daemon in lab.cluster.daemons] + [lab.node().daemon.pid, lab.node().pid]
        assert all(pids), "something of the lab is not running"
        had = links(lab)
        assert len(had) >= 2, had
        kinds = {found.split()[0] for found in leftovers(lab, had)}
        assert {"process", *had} <= kinds, f"the check below would not see a running lab: {kinds}"
    finally:
        lab.down()
    assert [pid for pid in pids if pid and start_time(pid) is not None] == []
    assert leftovers(lab, had) == []
    assert shared() - before_it == set()
    assert not lab.paths.root.exists()


def test_down_takes_away_what_a_killed_supervisor_has_left(binaries: Path) -> None:
    lab = Lab("test-killed", binaries)
    lab.down()
    try:
        lab.make(["lab-1"], cluster=False)
        lab.bridge.up()
        node = lab.node()
        node.start()
        node.wait_containerd()
        supervisor, had = node.daemon.pid, links(lab)
        assert supervisor
        os.kill(supervisor, signal.SIGKILL)
        kinds = [line for line in leftovers(lab, had) if "/sys/fs/cgroup/" in line]
        assert kinds, "a killed supervisor leaves nothing: this test would see nothing"
    finally:
        lab.down()
    assert leftovers(lab, had) == []


def test_privileged_pods_are_refused_outside_kube_system_as_on_talos(binaries: Path) -> None:
    lab = Lab("test-podsecurity", binaries)
    lab.down()
    try:
        lab.make(["lab-1"])
        lab.bridge.up()
        lab.cluster.start()
        lab.cluster.wait_ready()
        kubectl.kubectl(lab, "create", "serviceaccount", "default", "-n", "default", check=False)
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "privileged"},
            "spec": {"containers": [{"name": "c", "image": "x", "securityContext": {"privileged": True}}]},
        }
        refused = kubectl.run(lab, "apply", "-n", "default", "--dry-run=server", "-f", "-", stdin=json.dumps(pod))
        assert 'violates PodSecurity "baseline:latest": privileged' in refused.stderr
        allowed = kubectl.run(lab, "apply", "-n", "kube-system", "--dry-run=server", "-f", "-", stdin=json.dumps(pod))
        assert "PodSecurity" not in allowed.stderr
    finally:
        lab.down()


def test_the_cluster_trusts_the_ca_of_the_talos_secrets(binaries: Path) -> None:
    lab = Lab("test-pki", binaries)
    lab.down()
    try:
        lab.make(["lab-1"])
        talos = LabPaths.of("test-pki").talos
        authority = Authority(talos / "k8s-ca.crt", talos / "k8s-ca.key")
        kubelet = lab.node().state / "kubernetes"
        assert (kubelet / "ca.crt").read_bytes() == authority.certificate_pem
        assert (kubelet / "kubelet.key").stat().st_mode & 0o077 == 0
        assert lab.paths.kubeconfig.stat().st_mode & 0o077 == 0
    finally:
        lab.down()
