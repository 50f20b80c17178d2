"""Faults made in a healthy node's bundle, with what else they bring about, and the roots that must be found."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass

from talos_gpu.cdi import Strategy, patch
from talos_gpu.doctor.bundle import Bundle, host, listing
from tests.doctor.bundles import FIXTURES, INSTALLED, P2000, PART, PART_TEXT, SET, SOURCE, Box, Break, broken

UNRESOLVABLE = (
    "Error: failed to create containerd task: failed to create shim task: OCI runtime create failed: failed to "
    "inject CDI "
    "devices: unresolvable CDI devices nvidia.com/gpu=all"
)
WRAPPER = (
    "Error: failed to create containerd task: OCI runtime create failed: error running createContainer hook #0: exit "
    "status "
    "1, stdout: , stderr: 2026/11/24 01:59:00 nvidia-container-runtime-wrapper: unknown command nvidia-cdi-hook"
)
BLINDED = (
    "nvidia-container-cli: mount error: failed to add device rules: unable to generate new device filter program from "
    "existing programs: unable to create new device filters program: load program: invalid argument: last insn is "
    "not an "
    "exit or jmp\nprocessed 0 insns (limit 1000000)"
)
MOUNT = (
    "failed to fulfil mount request: open "
    "/usr/local/glibc/usr/lib/libEGL_nvidia.so.535.247.01: no such file or directory"
)
NO_TOPIC = (
    "error running createContainer hook #4: exit status 3, stderr: No help topic for 'disable-device-node-modification'"
)
NO_RUNTIME = 'failed to get sandbox runtime: no runtime for "nvidia-cdi" is configured'


@dataclass(frozen=True)
class Fault:
    """A fault, how it is made, and the roots that must be found for it, exactly."""

    name: str
    make: Break
    roots: frozenset[str]

    def bundle(self) -> Bundle:
        return broken(self.make)


FAULTS: list[Fault] = []


def fault(name: str, *roots: str) -> Callable[[Break], Break]:
    def register(make: Break) -> Break:
        FAULTS.append(Fault(name, make, frozenset(roots)))
        return make

    return register


def create_fails(box: Box, message: str) -> None:
    box.waits(box.worker, "CreateContainerError", message)


def installer_says(box: Box, words: str) -> None:
    box.not_ready(box.installer)
    box.texts[f"cluster/logs/kube-system_{SET}-x.txt"] = words + "\n"


def respec(box: Box, text: str) -> None:
    """Another spec is installed, and the worker was made with it."""
    box.file(INSTALLED, text)
    digest = hashlib.sha256(text.encode()).hexdigest()
    box.worker["metadata"]["annotations"]["talos-nvidia-cdi/spec-sha256"] = digest


def without_modules(box: Box) -> None:
    box.texts["talos/modules.txt"] = "virtio_net"
    box.texts[host("/proc/devices")] = "Character devices:\n  1 mem\n\nBlock devices:\n"
    del box.texts[host("/proc/driver/nvidia/version")]
    box.unread[host("/proc/driver/nvidia/version")] = ""
    box.drop("/dev", "nvidia0", "nvidiactl", "nvidia-uvm", "nvidia-uvm-tools")


def withdrawn(box: Box, why: str) -> None:
    """The installer has taken the spec away."""
    box.file(INSTALLED, None)
    installer_says(box, why)
    create_fails(box, UNRESOLVABLE)


# the node


@fault("no NVIDIA extensions in the image", "extension-missing")
def _no_extensions(box: Box) -> None:
    box.texts["talos/extensions.json"] = '{"modules.dep": "6.12.45-talos"}'
    without_modules(box)
    box.drop("/usr/local/bin", *[line.split()[1] for line in box.texts[listing("/usr/local/bin")].splitlines()])
    withdrawn(box, "ERROR: driver: no /proc/driver/nvidia/version")


@fault("kernel module extension without the toolkit's", "extension-missing")
def _no_toolkit(box: Box) -> None:
    box.texts["talos/extensions.json"] = '{"nonfree-kmod-nvidia-lts": "535.247.01-v1.11.1"}'
    box.drop("/usr/local/bin", "nvidia-cdi-hook.real", "nvidia-container-runtime.cdi", "nvidia-ctk")
    create_fails(box, "exec: /usr/local/bin/nvidia-container-runtime.cdi: no such file or directory")


@fault("kernel modules not declared", "module-not-loaded")
def _undeclared(box: Box) -> None:
    box.texts["talos/declared-modules.txt"] = ""
    without_modules(box)
    withdrawn(box, "ERROR: driver: no /proc/driver/nvidia/version")


@fault("only nvidia_uvm not declared", "module-not-loaded")
def _no_uvm(box: Box) -> None:
    box.texts["talos/declared-modules.txt"] = "nvidia nvidia_drm nvidia_modeset"
    box.texts["talos/modules.txt"] = "nvidia nvidia_drm nvidia_modeset"
    box.drop("/dev", "nvidia-uvm", "nvidia-uvm-tools")


@fault("modules of another kernel, which refuses them", "module-not-loaded")
def _refused(box: Box) -> None:
    without_modules(box)
    box.texts["talos/dmesg.txt"] = "nvidia: version magic '6.12.40-talos' should be '6.12.45-talos'\n"
    withdrawn(box, "ERROR: driver: no /proc/driver/nvidia/version")


@fault("driver 590 on a Pascal card", "driver-branch")
def _pascal(box: Box) -> None:
    box.texts["talos/extensions.json"] = json.dumps(
        {"nonfree-kmod-nvidia-production": "595.91-v1.11.1", "nvidia-container-toolkit-production": "595.91-v1.17.8"}
    )
    without_modules(box)
    box.texts["talos/dmesg.txt"] = "NVRM: No NVIDIA GPU found.\n"
    withdrawn(box, "ERROR: driver: no /proc/driver/nvidia/version")


@fault("open modules on a Pascal card", "driver-branch")
def _open_pascal(box: Box) -> None:
    box.texts["talos/extensions.json"] = json.dumps(
        {"nvidia-open-gpu-kernel-modules-lts": "580.178-v1.11.1", "nvidia-container-toolkit-lts": "580.178-v1.17.8"}
    )
    without_modules(box)
    withdrawn(box, "ERROR: driver: no /proc/driver/nvidia/version")


@fault("proprietary modules on a Blackwell card", "driver-branch")
def _blackwell(box: Box) -> None:
    box.meta["gpu"] = "NVIDIA GeForce RTX 5060"
    without_modules(box)
    withdrawn(box, "ERROR: driver: no /proc/driver/nvidia/version")


@fault("no GPU on the bus", "gpu-not-found")
def _no_gpu(box: Box) -> None:
    without_modules(box)
    box.texts["talos/dmesg.txt"] = "NVRM: No NVIDIA GPU found.\n"
    withdrawn(box, "ERROR: driver: no /proc/driver/nvidia/version")


@fault("GPU image on a node without a GPU", "gpu-image-without-gpu")
def _gpu_image(box: Box) -> None:
    without_modules(box)
    box.texts["talos/dmesg.txt"] = "NVRM: No NVIDIA GPU found.\n"
    box.json("talos/services.json")[0]["state"] = "Waiting"
    withdrawn(box, "ERROR: driver: no /proc/driver/nvidia/version")


@fault("GPU fell off the bus", "gpu-lost")
def _lost(box: Box) -> None:
    box.texts["talos/dmesg.txt"] += "NVRM: Xid (PCI:0000:01:00): 79, pid='<unknown>', GPU has fallen off the bus.\n"
    box.not_ready(box.worker)


@fault("toolkit extension of another driver than the modules'", "driver-apart")
def _apart(box: Box) -> None:
    box.json("talos/extensions.json")["nvidia-container-toolkit-lts"] = "570.172.08-v1.17.8"
    box.not_ready(box.worker)


@fault("device nodes not made", "device-node-missing")
def _no_nodes(box: Box) -> None:
    box.drop("/dev", "nvidiactl", "nvidia0")
    installer_says(box, "ERROR: device /dev/nvidia0: missing")
    box.not_ready(box.worker)


@fault("a udev rule takes the device node's permissions away", "device-permissions")
def _mode(box: Box) -> None:
    box.texts[listing("/dev")] = box.texts[listing("/dev")].replace("0666 nvidiactl", "0660 nvidiactl")


@fault("toolkit older than 1.17.8", "toolkit-cve")
def _cve(box: Box) -> None:
    box.json("talos/extensions.json")["nvidia-container-toolkit-lts"] = "535.247.01-v1.17.6"


@fault("node runs another release than the stack says", "release-differs")
def _release(box: Box) -> None:
    box.meta["release"] = "v1.10.4"


# the spec


@fault("the generator found no shell on the host", "generator-failed")
def _generator(box: Box) -> None:
    job = box.items("jobs")[0]
    job["status"] = {"conditions": [{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"}]}
    pod = json.loads(json.dumps(box.installer))
    pod["metadata"] |= {
        "name": "nvidia-cdi-generator-x",
        "labels": {"app": "nvidia-cdi-generator", "talos-nvidia-cdi/node": "talos05"},
    }
    pod["status"] = {
        "phase": "Failed",
        "containerStatuses": [
            {
                "state": {
                    "terminated": {
                        "reason": "Error",
                        "exitCode": 127,
                        "message": "nsenter: failed to execute sh: No such file or directory",
                    }
                }
            }
        ],
    }
    box.items("pods").append(pod)
    box.file(SOURCE, None)
    box.file(INSTALLED, None)
    create_fails(box, UNRESOLVABLE)
    box.items("daemonsets").clear()
    box.items("pods").remove(box.installer)


@fault("the generated spec was deleted", "spec-source-missing")
def _source(box: Box) -> None:
    box.file(SOURCE, None)
    withdrawn(box, "ERROR: source /var/cdi/nvidia.yaml: missing")


@fault("nothing installed after a reboot", "spec-missing")
def _missing(box: Box) -> None:
    box.file(INSTALLED, None)
    create_fails(box, UNRESOLVABLE)


@fault("an unknown field in the spec", "spec-invalid")
def _invalid(box: Box) -> None:
    box.edit(INSTALLED, "cdiVersion:", "foo: bar\ncdiVersion:")
    create_fails(box, UNRESOLVABLE)


@fault("a spec cut off in the middle", "spec-invalid")
def _cut(box: Box) -> None:
    text = box.texts[host(INSTALLED)]
    box.file(INSTALLED, text[: len(text) // 2] + '\n  "')
    create_fails(box, UNRESOLVABLE)


@fault("the same device in two files of one folder", "spec-conflict")
def _conflict(box: Box) -> None:
    box.file("/var/run/cdi/other.yaml", box.texts[host(INSTALLED)])
    create_fails(box, "CDI registry refresh failed: conflicting device nvidia.com/gpu=all; " + UNRESOLVABLE)


@fault("the seed's order of folders", "spec-dirs-order")
def _dirs(box: Box) -> None:
    box.edit(PART, '"/etc/cdi", "/var/run/cdi"', '"/etc/cdi", "/var/run/cdi", "/var/cdi"')
    create_fails(box, WRAPPER)


@fault("the source's folder among those read", "spec-dirs-order")
def _dirs_among(box: Box) -> None:
    box.edit(PART, '"/etc/cdi", "/var/run/cdi"', '"/etc/cdi", "/var/cdi", "/var/run/cdi"')


@fault("another spec in a folder of higher priority", "spec-shadowed")
def _shadowed(box: Box) -> None:
    box.edit(PART, '"/etc/cdi", "/var/run/cdi"', '"/var/run/cdi", "/etc/cdi"')
    box.file("/etc/cdi/nvidia.yaml", P2000)
    create_fails(box, WRAPPER)


@fault("the folder of the installed spec is not read", "spec-folder-unread")
def _unread(box: Box) -> None:
    box.edit(PART, '"/etc/cdi", "/var/run/cdi"', '"/etc/cdi"')
    create_fails(box, UNRESOLVABLE)


@fault("a spec under a name that is not read", "spec-name-ignored")
def _yml(box: Box) -> None:
    box.file("/var/run/cdi/nvidia.yml", box.texts[host(INSTALLED)])
    box.file(INSTALLED, None)
    create_fails(box, UNRESOLVABLE)


@fault("the spec installed without the patch", "spec-unpatched")
def _unpatched(box: Box) -> None:
    respec(box, P2000)
    create_fails(box, WRAPPER)


@fault("hooks by a binary that is not there", "hook-missing")
def _hook(box: Box) -> None:
    respec(box, box.texts[host(INSTALLED)].replace("nvidia-cdi-hook.real", "nvidia-cdi-hook.real.real"))
    create_fails(box, "fork/exec /usr/local/bin/nvidia-cdi-hook.real.real: no such file or directory")


@fault("a patched spec after the upgrade to 1.13", "patched-on-native")
def _upgraded(box: Box) -> None:
    box.texts["talos/version.txt"] = "v1.13.2\n"
    box.meta["release"] = "v1.13.2"
    box.edit(PART, '"/etc/cdi", "/var/run/cdi"', '"/run/cdi"')
    box.texts["talos/extensions.json"] = json.dumps(
        {"nonfree-kmod-nvidia-lts": "535.247.01-v1.13.2", "nvidia-container-toolkit-lts": "535.247.01-v1.19.1"}
    )
    box.json("talos/services.json").append({"id": "ext-nvidia-cdi-gen", "state": "Finished", "message": ""})
    box.drop("/usr/local/bin", "nvidia-cdi-hook.real", "nvidia-ctk.real")
    create_fails(box, "fork/exec /usr/local/bin/nvidia-cdi-hook.real: no such file or directory")


@fault("a patched node about to be upgraded to 1.13", "upgrade-breaks-spec")
def _upgrade(box: Box) -> None:
    box.meta["upgrade_to"] = "v1.13.0"


@fault("a spec of toolkit 1.18 on a node with 1.17.8", "spec-newer-than-hook")
def _newer(box: Box) -> None:
    text = patch((FIXTURES / "p2000-535" / "toolkit-1.18.2.yaml").read_text(), Strategy.REAL).text
    respec(box, text)
    box.file(SOURCE, (FIXTURES / "p2000-535" / "toolkit-1.18.2.yaml").read_text())
    create_fails(box, NO_TOPIC)


@fault("another driver since the spec was made", "spec-stale")
def _stale(box: Box) -> None:
    new = "535.288.01"
    box.texts["talos/extensions.json"] = json.dumps(
        {"nonfree-kmod-nvidia-lts": f"{new}-v1.11.6", "nvidia-container-toolkit-lts": f"{new}-v1.17.8"}
    )
    box.edit("/proc/driver/nvidia/version", "535.247.01", new)
    for key in [key for key in box.texts if key.startswith("lists/usr/local/glibc")]:
        box.texts[key] = box.texts[key].replace("535.247.01", new)
    create_fails(box, MOUNT)
    installer_says(box, "ERROR: driver: the host has 535.288.01, the spec is for 535.247.01")


@fault("another driver, and the installer has withdrawn the spec", "spec-stale")
def _withdrawn(box: Box) -> None:
    _stale(box)
    withdrawn(box, "REFUSED: driver: the host has 535.288.01, the spec is for 535.247.01")


@fault("nvidia-uvm got another major at boot", "uvm-major-moved")
def _major(box: Box) -> None:
    text = box.texts[host(INSTALLED)]
    respec(box, text.replace("path: /dev/nvidia-uvm\n", "path: /dev/nvidia-uvm\n    major: 238\n    type: c\n"))
    box.file(SOURCE, patch_back(box.texts[host(INSTALLED)]))


def patch_back(text: str) -> str:
    return text.replace("nvidia-cdi-hook.real", "nvidia-cdi-hook")


@fault("a library that the spec mounts is gone", "spec-paths-missing")
def _paths(box: Box) -> None:
    box.drop("/usr/local/glibc/usr/lib", "libEGL_nvidia.so.535.247.01")
    create_fails(box, MOUNT)


@fault("the installed spec was edited", "spec-edited")
def _edited(box: Box) -> None:
    respec(box, box.texts[host(INSTALLED)] + "# by hand\n")


# containerd


@fault("no containerd part", "part-missing")
def _no_part(box: Box) -> None:
    box.file(PART, None)
    create_fails(box, NO_RUNTIME)


@fault("a containerd part that is no TOML", "part-invalid")
def _toml(box: Box) -> None:
    box.file(PART, PART_TEXT.replace("]\n", "\n", 1))
    create_fails(box, NO_RUNTIME)


@fault("the section of containerd 1.7 on 2.x", "part-wrong-section")
def _section(box: Box) -> None:
    box.file(PART, PART_TEXT.replace("io.containerd.cri.v1.runtime", "io.containerd.grpc.v1.cri"))
    box.texts[host("/etc/cri/conf.d/cri.toml")] = "version = 3\n"
    create_fails(box, NO_RUNTIME)


@fault("a part that waits for the boot", "part-not-merged")
def _merged(box: Box) -> None:
    box.texts[host("/etc/cri/conf.d/cri.toml")] = 'version = 3\n[plugins."io.containerd.cri.v1.runtime"]\n'
    create_fails(box, NO_RUNTIME)


@fault("a second part with the same runtime", "part-duplicated")
def _twice(box: Box) -> None:
    box.file("/etc/cri/conf.d/30-gpu.part", PART_TEXT.replace('  cdi_spec_dirs = ["/etc/cdi", "/var/run/cdi"]\n', ""))


@fault("CDI switched off in containerd", "cdi-disabled")
def _off(box: Box) -> None:
    box.edit(PART, "  cdi_spec_dirs", "  enable_cdi = false\n  cdi_spec_dirs")
    create_fails(box, UNRESOLVABLE)


@fault("a runtime that runs a binary which is not there", "runtime-binary-missing")
def _binary(box: Box) -> None:
    box.edit(PART, "nvidia-container-runtime.cdi", "nvidia-container-runtime.cdi.real")
    create_fails(box, "exec: /usr/local/bin/nvidia-container-runtime.cdi.real: no such file or directory")


@fault("the seed's default runtime left in the part", "default-runtime")
def _default(box: Box) -> None:
    box.texts[host(PART)] += (
        '  [plugins."io.containerd.cri.v1.runtime".containerd]\n    default_runtime_name = "nvidia-cdi"\n'
    )


# injection


@fault("legacy injection under Talos's hardening", "legacy-blinded")
def _legacy(box: Box) -> None:
    box.meta.update(method="sysctl", handler="nvidia", runtime_class="nvidia")
    box.items("runtimeclasses")[0].update(metadata={"name": "nvidia"}, handler="nvidia")
    box.worker["spec"]["runtimeClassName"] = "nvidia"
    box.items("daemonsets").clear()
    create_fails(box, BLINDED)


@fault("method jit with the plain env", "env-for-other-method")
def _jit(box: Box) -> None:
    box.meta.update(method="jit", handler="nvidia", runtime_class="nvidia")
    box.items("runtimeclasses")[0].update(metadata={"name": "nvidia"}, handler="nvidia")
    box.worker["spec"]["runtimeClassName"] = "nvidia"
    create_fails(box, BLINDED)


# the cluster


@fault("node unknown to the cluster", "node-missing")
def _no_node(box: Box) -> None:
    box.texts["cluster/node.json"] = "{}"
    box.items("daemonsets")[0]["status"]["desiredNumberScheduled"] = 0
    box.items("pods").remove(box.installer)
    box.waits(box.worker, "", "")


@fault("node not Ready", "node-not-ready")
def _not_ready(box: Box) -> None:
    box.json("cluster/node.json")["status"]["conditions"] = [
        {"type": "Ready", "status": "False", "reason": "KubeletNotReady", "message": "container runtime is down"}
    ]
    box.not_ready(box.worker)
    box.not_ready(box.installer)


@fault("GPU label missing: the installer has 0 pods and counts as ready", "label-missing")
def _label(box: Box) -> None:
    box.json("cluster/node.json")["metadata"]["labels"].clear()
    box.items("daemonsets")[0]["status"]["desiredNumberScheduled"] = 0
    box.items("pods").remove(box.installer)
    box.file(INSTALLED, None)
    box.waits(box.worker, "", "")
    box.event(box.worker, "0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector.")


@fault("a taint that nothing tolerates", "taint-untolerated")
def _taint(box: Box) -> None:
    box.json("cluster/node.json")["spec"]["taints"].append({"key": "dedicated", "value": "x", "effect": "NoSchedule"})
    box.waits(box.worker, "", "")
    box.event(box.worker, "0/3 nodes are available: 1 node(s) had untolerated taint {dedicated: x}.")


@fault("installer pinned to another node's name", "installer-unscheduled")
def _unscheduled(box: Box) -> None:
    box.items("daemonsets")[0]["status"]["desiredNumberScheduled"] = 0
    box.items("pods").remove(box.installer)
    box.file(INSTALLED, None)
    create_fails(box, UNRESOLVABLE)


@fault("installer deleted", "installer-missing")
def _no_installer(box: Box) -> None:
    box.items("daemonsets").clear()
    box.items("pods").remove(box.installer)
    box.file(INSTALLED, None)
    create_fails(box, UNRESOLVABLE)


@fault("installer cannot write", "installer-failing")
def _installer(box: Box) -> None:
    withdrawn(box, "ERROR: cannot write /var/run/cdi/nvidia.yaml on the host")


@fault("a spec with hooks by nvidia-ctk, edited just now", "installer-behind")
def _behind(box: Box) -> None:
    box.meta["hook"] = "nvidia-ctk"
    box.not_ready(box.installer)
    box.event(box.installer, f"Readiness probe failed: not ready: {INSTALLED} is not the installed spec (0123)\n")


@fault("RuntimeClass deleted", "runtimeclass-missing")
def _class(box: Box) -> None:
    box.items("runtimeclasses").clear()
    box.waits(box.worker, "", "")
    box.event(box.worker, 'Failed to create pod sandbox: RuntimeClass "nvidia-cdi" not found')


@fault("RuntimeClass with a handler that containerd lacks", "runtimeclass-handler")
def _handler(box: Box) -> None:
    box.items("runtimeclasses")[0]["handler"] = "nvidia-cdi2"
    create_fails(box, NO_RUNTIME)


@fault("PodSecurity refuses the worker", "podsecurity-refuses")
def _security(box: Box) -> None:
    box.items("pods").remove(box.worker)
    owner = {"kind": "ReplicaSet", "metadata": {"name": "tdarr-node-gpu-talos05-1", "namespace": "media"}}
    box.items("replicasets").append({**owner, "spec": {"replicas": 1}, "status": {"replicas": 0}})
    box.event(owner, 'Error creating: pods "x" is forbidden: violates PodSecurity "baseline:latest": hostPath volumes')


@fault("the seed's generator pod and DaemonSet still there", "seed-objects")
def _seed(box: Box) -> None:
    by_hand = json.loads(json.dumps(box.items("daemonsets")[0]))
    by_hand["metadata"] = {"name": "nvidia-cdi-init", "namespace": "kube-system", "labels": {}}
    box.items("daemonsets").append(by_hand)
    box.file("/var/cdi/.keep", "")


@fault("the device plugin installed and not scheduled", "device-plugin-unready")
def _plugin(box: Box) -> None:
    box.items("daemonsets").append(
        {
            "metadata": {"name": "nvidia-device-plugin-daemonset", "namespace": "kube-system"},
            "spec": {"template": {"spec": {}}},
            "status": {"desiredNumberScheduled": 0},
        }
    )


# the workload


@fault("a GPU pod without runtimeClassName", "pod-without-runtime")
def _plain(box: Box) -> None:
    del box.worker["spec"]["runtimeClassName"]
    box.not_ready(box.worker)
    box.texts["cluster/logs/media_tdarr-0.txt"] = "[hevc_nvenc @ 0x55d9] Cannot load libcuda.so.1\n"


@fault("the worker is older than the spec", "pod-older-than-spec")
def _older(box: Box) -> None:
    box.worker["metadata"]["annotations"]["talos-nvidia-cdi/spec-sha256"] = "0" * 64


@fault("an image that cannot be pulled", "image-unpullable")
def _image(box: Box) -> None:
    box.waits(box.worker, "ImagePullBackOff", 'Back-off pulling image "ghcr.io/haveagitgat/tdarr_node:2.99"')


@fault("ffmpeg 7 on driver 535", "ffmpeg-too-new")
def _ffmpeg(box: Box) -> None:
    box.worker["spec"]["containers"][0]["env"][1]["value"] = "7"
    box.texts["cluster/logs/media_tdarr-0.txt"] = (
        "[hevc_nvenc @ 0x5] Driver does not support the required nvenc API version. Required: 13.0 Found: 12.0\n"
        "[hevc_nvenc @ 0x5] OpenEncodeSessionEx failed\n"
    )


@fault("no encode session for want of memory", "work-fails")
def _sessions(box: Box) -> None:
    box.texts["cluster/logs/media_tdarr-0.txt"] = (
        "[hevc_nvenc @ 0x5] OpenEncodeSessionEx failed: out of memory (10): (no details)\n"
    )


@fault("Tdarr's server not there", "tdarr-server-unreachable")
def _server(box: Box) -> None:
    box.texts["cluster/logs/media_tdarr-0.txt"] = "Error: connect ECONNREFUSED 10.96.0.12:8266\n"


@fault("server and worker mount media at different paths", "tdarr-paths-differ")
def _media(box: Box) -> None:
    box.worker["spec"]["containers"][0]["volumeMounts"][0]["mountPath"] = "/mnt/media"


@fault("the worker was scaled to zero", "worker-missing")
def _no_worker(box: Box) -> None:
    box.items("pods").remove(box.worker)


@fault("a pod that fails with words that nobody knows", "pod-fails")
def _unknown(box: Box) -> None:
    create_fails(box, "the flux capacitor is not charged")


@fault("a worker that runs and does not find its GPU", "worker-not-ready")
def _blind(box: Box) -> None:
    box.not_ready(box.worker)


@fault("client certificate at its end", "certificate-expiring")
def _certificate(box: Box) -> None:
    box.meta["certificates"] = {"talosconfig": "2026-12-01T00:00:00+00:00"}


@fault("an image by tag", "image-unpinned")
def _tag(box: Box) -> None:
    box.meta["unpinned"] = ["docker.io/library/debian:12-slim"]


@fault("the system's own service fails on 1.13", "native-service-failed")
def _native(box: Box) -> None:
    native(box)
    box.json("talos/services.json").append(
        {"id": "ext-nvidia-cdi-gen", "state": "Failed", "message": "failed to initialize NVML"}
    )
    box.file("/var/run/cdi/nvidia.yaml", None)
    create_fails(box, UNRESOLVABLE)


def native(box: Box) -> None:
    """Talos 1.13 with its own spec and no objects of ours but the worker."""
    box.meta.update(release="v1.13.2", method="native", handler="nvidia", runtime_class="nvidia")
    box.texts["talos/version.txt"] = "v1.13.2\n"
    box.texts["talos/extensions.json"] = json.dumps(
        {"nonfree-kmod-nvidia-lts": "535.247.01-v1.13.2", "nvidia-container-toolkit-lts": "535.247.01-v1.19.1"}
    )
    box.file(SOURCE, None)
    box.file(PART, None)
    respec(box, P2000)
    box.drop("/usr/local/bin", "nvidia-cdi-hook.real", "nvidia-ctk.real", "nvidia-container-runtime.cdi")
    box.items("daemonsets").clear()
    box.items("jobs").clear()
    box.items("pods").remove(box.installer)
    box.items("runtimeclasses")[0].update(metadata={"name": "nvidia"}, handler="nvidia")
    box.worker["spec"]["runtimeClassName"] = "nvidia"


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
