"""A cluster as the write-up leaves it, adopted; then its node upgraded from Talos 1.11 to 1.13, 1.14, and back.

The upgrade is made by hand first, without Pulumi; then the stack follows.

The nodes of 1.13 and 1.14 are profiles of the lab (lab/profiles.py): what is pretended of them is said there; that of
1.14 stands on documents alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab import kubectl
from lab.lab import Lab
from lab.layers import base_layer
from lab.nodes import PROFILE
from lab.profiles import DRIVER_113, PROFILE_113, PROFILE_114, native_layer
from lab.stack import Stack
from tests.lab.conftest import MainJob, wait_for
from tests.lab.doctoring import well
from tests.lab.pods import why_it_fails

pytestmark = pytest.mark.lab

INSTALLED = "/run/cdi/nvidia.yaml"
PART = "/etc/cri/conf.d/20-customization.part"
NATIVE = {"1.13": PROFILE_113, "1.14": PROFILE_114}
GPU_113 = {"model": "Quadro P2000", "driver": DRIVER_113, "memory_mib": 5120}


def by_hand(lab: Lab) -> None:
    """What the write-up has one apply, in short; and a worker that is privileged beyond need."""
    wait = ("wait", "--for=create", "--timeout=60s", "-n", "kube-system", "serviceaccount/default")
    kubectl.kubectl(lab, *wait)  # a bare pod is refused before the controller manager has made it
    for namespace, document in (
        ("media", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "media"}}),
        ("kube-system", seeds_daemon_set()),
        ("kube-system", seeds_generator()),
        ("media", worker_by_hand(lab.node().name)),
    ):
        kubectl.kubectl(lab, "apply", "-n", namespace, "-f", "-", stdin=json.dumps(document))


def seeds_daemon_set() -> dict[str, Any]:
    labels = {"app": "nvidia-cdi-init"}
    paths = {"var-cdi": "/var/cdi", "var-run-cdi": "/var/run/cdi"}
    pod = {
        "nodeSelector": {"node.kubernetes.io/gpu-vendor": "nvidia"},
        "containers": [{"name": "pause", "image": "lab.local/pause:1"}],
        "volumes": [{"name": name, "hostPath": {"path": path}} for name, path in paths.items()],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": "nvidia-cdi-init", "labels": labels},
        "spec": {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": pod}},
    }


def seeds_generator() -> dict[str, Any]:
    container = {"name": "generator", "image": "lab.local/node-tools:1", "command": ["true"]}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "nvidia-cdi-generator"},
        "spec": {"restartPolicy": "Never", "containers": [container]},
    }


def worker_by_hand(node: str) -> dict[str, Any]:
    labels = {"app": "tdarr-node-gpu", "talos-nvidia-cdi/node": node}
    container = {
        "name": "tdarr-node",
        "image": "lab.local/tdarr-node:1",
        "env": [{"name": "BY_HAND", "value": "yes"}],
        "volumeMounts": [{"name": "dev", "mountPath": "/host-dev"}],
        "securityContext": {"runAsUser": 0},
    }
    pod = {"containers": [container], "volumes": [{"name": "dev", "emptyDir": {}}]}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": f"tdarr-node-gpu-{node}", "labels": labels},
        "spec": {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": pod}},
    }


@pytest.fixture(scope="module")
def job(binaries: Path) -> Iterator[MainJob]:
    """A lab of its own: its node changes its release."""
    lab = Lab("test-upgrade", binaries)
    lab.down()
    try:
        lab.make()
        lab.start(print)
        kubectl.wait_node_ready(lab, ["lab-1"])
        by_hand(lab)
        stack = Stack(lab, lab.node())
        stack.init()
        stack.write_config({"adopt": True, "tdarr": {"namespace": {"create": False}}})
        done = stack.operation("up", "--skip-preview", check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        yield MainJob(lab, stack, done.stdout, ())
    finally:
        lab.down()


def become(job: MainJob, release: str) -> None:
    """What `talosctl upgrade` does to a node: another image, then a boot."""
    node, binaries = job.node, job.lab.binaries
    node.stop()
    if release in NATIVE:
        node.write_profile(NATIVE[release])
        node.set_layers([native_layer(binaries, DRIVER_113), base_layer(binaries)])
    else:
        node.write_profile(PROFILE)
        node.set_layers(job.lab.layers(str(PROFILE["driver"])))
    job.lab.start(print)
    kubectl.wait_node_ready(job.lab, [node.name])


def test_what_was_made_by_hand_is_taken_over(job: MainJob) -> None:
    told = " ".join(job.first_up.split())
    assert "Deployment media/tdarr-node-gpu-lab-1 is taken over from kubectl-client-side-apply" in told, told
    assert "DaemonSet nvidia-cdi-init, made by hand, is deleted: ours is ready" in told
    assert "pod nvidia-cdi-generator, made by hand, is deleted" in told
    names = [item["metadata"]["name"] for item in kubectl.get(job.lab, "daemonsets", "-n", "kube-system")["items"]]
    assert names == ["nvidia-cdi-init-lab-1"]
    pod = kubectl.get(job.lab, "deployment", "-n", "media", "tdarr-node-gpu-lab-1")["spec"]["template"]["spec"]
    [container] = pod["containers"]
    assert "BY_HAND" not in {item["name"] for item in container["env"]}
    assert "dev" not in {volume["name"] for volume in pod["volumes"]}
    assert "securityContext" not in container
    assert job.quiet()
    job.encode()


def test_an_upgrade_by_hand_and_the_stack_after_it(job: MainJob) -> None:
    patched = job.inside(INSTALLED).read_text()
    assert "/usr/local/bin/nvidia-cdi-hook.real" in patched

    # by hand: the 1.11 stack boots into 1.13 without Pulumi
    become(job, "1.13")
    systems = wait_for("the system's service writes its spec", lambda: _read(job, INSTALLED))
    assert "/usr/local/bin/nvidia-cdi-hook\n" in systems
    assert ".real" not in systems
    missing = "REFUSED: hook binary /usr/local/bin/nvidia-cdi-hook.real: missing on the host"
    wait_for("the installer refuses", lambda: missing in job.installer_log())
    wait_for("the installer leaves the system's spec", lambda: f"left /var{INSTALLED} alone" in job.installer_log())
    assert job.inside(INSTALLED).read_text() == systems
    wait_for("the installer is not ready", lambda: not job.installer_ready())
    job.settle_worker()
    job.encode()  # the upgrade alone has left the GPU usable

    # with the guard off, the old patch breaks it, and nothing but the patch
    job.inside(INSTALLED).write_text(systems.replace("nvidia-cdi-hook", "nvidia-cdi-hook.real"))
    why = why_it_fails(job, "old-patch")
    assert "/usr/local/bin/nvidia-cdi-hook.real" in why, why
    job.inside(INSTALLED).write_text(systems)

    # seen as exactly that, and nothing is put onto it
    seen = job.refreshed()
    assert "talos is v1.13.0, was v1.11.1" in seen, seen
    refused = job.stack.operation("up", "--refresh", "--skip-preview", check=False)
    told = " ".join((refused.stdout + refused.stderr).split())
    assert refused.returncode
    assert "lab-1 runs Talos v1.13.0, the stack says v1.11.1" in told, told
    assert job.inside(INSTALLED).read_text() == systems

    # the stack follows
    with job.configured(**native("v1.13.0")):
        preview = job.stack.operation("preview").stdout
        assert f"this restarts the node and with it the worker: machine.files: {PART}" in preview, preview
        job.up()
        job.settle_worker()
        assert job.quiet()
        assert not job.inside(PART).exists()
        assert job.installer_pods() == []
        assert ".real" not in job.inside(INSTALLED).read_text()
        job.encode()
        well(job)


def test_on_to_1_14_and_back_without_a_restart_that_is_asked_for(job: MainJob) -> None:
    become(job, "1.14")
    with job.configured(**native("v1.14.0"), machine={"base": str(with_a_customization(job))}):
        preview = job.stack.operation("preview").stdout
        assert "the machine config changes on the running machine, without a restart" in preview, preview
        boot = job.boot_id()
        job.up()
        assert kinds(job) == ["CRICustomizationConfig", *["KernelModuleConfig"] * 4, "UdevRulesConfig"]
        wait_for("containerd was restarted for it", lambda: "restarting service cri" in job.node.daemon.log.read_text())
        assert "127.0.0.1:11234" in job.inside("/etc/cri/conf.d/cri.toml").read_text()
        assert job.boot_id() == boot
        wait_for("containerd serves again", lambda: job.node.run("/bin/ctr", "version", check=False).returncode == 0)
        job.settle_worker()
        assert job.quiet()
        job.encode()

    # 1.13 would not boot on those documents: they go first, while 1.14 runs
    with job.configured(**native("v1.14.0", treat_as="v1.13.0")):
        job.up()
        assert kinds(job) == []
        assert job.boot_id() == boot
    become(job, "1.13")
    with job.configured(**native("v1.13.0")):
        job.up()
        job.settle_worker()
        assert job.quiet()
        job.encode()


def test_back_to_1_11(job: MainJob) -> None:
    become(job, "1.11")
    legacy_by_a_sysctl(job)
    job.up()
    job.settle()
    assert job.quiet()
    assert "/usr/local/bin/nvidia-cdi-hook.real" in job.inside(INSTALLED).read_text()
    job.encode()


def legacy_by_a_sysctl(job: MainJob) -> None:
    """Method sysctl as far as the lab has it: the sysctl, live; what injects then is libnvidia-container, not here."""
    boot = job.boot_id()
    with job.configured(cdi={"method": "sysctl"}, tdarr=None, adopt=True):
        said = " ".join(job.stack.operation("preview").stdout.split())
        assert "the machine config changes on the running machine, without a restart" in said, said
        assert "cdi.method: sysctl sets net.core.bpf_jit_harden to 1 for the whole node" in said, said
        job.up()
        assert job.boot_id() == boot
        assert job.stack.outputs()["facts"]["bpf_jit_harden"] == "1"
        assert job.quiet()
        why = why_it_fails(job, "legacy", runtimeClassName="nvidia")
        assert "nvidia-container-cli" in why, why


def native(release: str, **more: str) -> dict[str, Any]:
    return {
        "node": {"talos": release, "gpu": GPU_113, **more},
        "cdi": {"method": "native"},
        "adopt": True,
        "tdarr": {"namespace": {"create": False}},
    }


def with_a_customization(job: MainJob) -> Path:
    """The node's base with what 1.14 has in place of the containerd part, from somebody else."""
    base = (job.lab.paths.talos / f"{job.node.name}.yaml").read_text()
    path = job.stack.config.with_name("customized.yaml")
    document = {
        "apiVersion": "v1alpha1",
        "kind": "CRICustomizationConfig",
        "name": "metrics",
        "content": '[metrics]\n  address = "127.0.0.1:11234"\n',
    }
    path.write_text(f"{base}---\n{yaml.safe_dump(document)}")
    return path


def kinds(job: MainJob) -> list[str]:
    """Kinds of the documents beside v1alpha1 in the config that the node has for its next boot."""
    config = (job.node.state / "state" / "config.yaml").read_text()
    return sorted(document["kind"] for document in yaml.safe_load_all(config) if "kind" in document)


def _read(job: MainJob, path: str) -> str:
    try:
        return job.inside(path).read_text()
    except FileNotFoundError:
        return ""
