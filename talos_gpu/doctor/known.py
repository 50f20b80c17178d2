"""Error texts of this corner of the field, with what they mean: runtime, hooks, driver, kubelet, Talos.

ffmpeg's and nvidia-smi's own words are in talos_gpu.verify.words.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

SEED = "the original write-up, Troubleshooting"
H100 = "seen on an H100, containerd 2.1.4, toolkit 1.17.8"
LAB = "seen on the lab's node, containerd 2.1.4, toolkit 1.17.8"


@dataclass(frozen=True, slots=True)
class Known:
    """An error text and its meaning."""

    name: str
    pattern: re.Pattern[str]
    cause: str
    remedy: str
    source: str


def _known(name: str, pattern: str, cause: str, remedy: str, source: str) -> Known:
    return Known(name, re.compile(pattern, re.DOTALL), cause, remedy, source)


ALL: Sequence[Known] = (
    _known(
        "legacy-blinded",
        r"last insn is not an exit or jmp|R11 is invalid",
        "The kernel hides BPF programs (net.core.bpf_jit_harden=2, Talos's own default), so libnvidia-container "
        "reads back "
        "an empty or blinded device program in legacy mode, puts its rule before it, and the verifier refuses the "
        "result. "
        "It is no fault of one kernel release.",
        "use CDI (cdi.method: spec or jit), which leaves the hardening alone; or cdi.method: sysctl, which sets "
        "net.core.bpf_jit_harden: 1 (live, no reboot)",
        "libnvidia-container#176; reproduced by tests/doctor/test_bpf.py",
    ),
    _known(
        "legacy-cgroup",
        r"nvidia-container-cli.*(?:failed to add device rules|unable to (?:generate|find) .*device filter)",
        "Legacy injection could not change the container's device filter.",
        "use CDI: cdi.method: spec or jit",
        "libnvidia-container#176",
    ),
    _known(
        "wrapper-unknown-command",
        r"nvidia-container-runtime-wrapper: unknown command (?P<name>\S+)",
        "Talos 1.8 to 1.12 put a wrapper with six names before NVIDIA's programs, and nvidia-cdi-hook is none of "
        "them: the "
        "CDI spec's hooks still run the wrapper, the spec was installed without the patch.",
        "pulumi up (method spec patches the hook paths to nvidia-cdi-hook.real), or cdi.hook: nvidia-ctk",
        f"siderolabs/extensions release-1.11 nvidia-container-runtime-wrapper/main.go; {SEED}",
    ),
    _known(
        "spec-newer-than-hook",
        r"No help topic for '(?P<name>disable-device-node-modification|enable-cuda-compat|update-application-profile)'",
        "The CDI spec was made by a newer container toolkit than the hook binary on the node: it asks for a hook "
        "that the "
        "binary does not know.",
        "generate the spec with the node's own nvidia-ctk: pulumi up --refresh",
        H100,
    ),
    _known(
        "spec-conflict",
        r"conflicting device \"?(?P<name>[\w./=-]+)\"?|CDI registry refresh failed",
        "Two files of one CDI folder name the same device; containerd then takes it from neither.",
        "remove one of the two files from the folder",
        f"CDI pkg/cdi/cache.go; {H100}",
    ),
    _known(
        "spec-invalid",
        r"failed to (?:parse|load|read) CDI [Ss]pec|json: unknown field",
        "containerd does not load the CDI spec: it breaks the specification (an unknown field is enough), so no "
        "device of "
        "it is known.",
        "talos-gpu cdi validate FILE names every fault; generate the spec anew: pulumi up --refresh",
        f"CDI pkg/cdi/spec.go; {H100}",
    ),
    _known(
        "spec-paths-missing",
        r"failed to fulfil mount request: open (?P<name>\S+\.so\.[\d.]+): no such file",
        "The CDI spec names libraries of another driver version than the node has: it is older than the last driver "
        "change.",
        "generate and install the spec anew: pulumi up --refresh",
        H100,
    ),
    _known(
        "hook-missing",
        r"(?:fork/exec |exec: \"?|stat )(?P<name>/\S*nvidia-\S*)\"?: no such file or directory",
        "A binary that the CDI spec or the runtime's configuration names is not on the node (from Talos 1.13 there "
        "is no "
        "nvidia-cdi-hook.real).",
        "generate the spec anew for this release; from 1.13 use cdi.method: native",
        "siderolabs/extensions c5480f9",
    ),
    _known(
        "device-unresolvable",
        r"unresolvable CDI devices? (?P<name>\S+)",
        "No CDI spec that containerd or the NVIDIA runtime reads provides this device: none is installed, it is not "
        "loadable, it is in a folder that nobody reads, or two files conflict.",
        "kubectl -n kube-system get pods -l app=nvidia-cdi-init; talosctl list /var/run/cdi; talos-gpu doctor STACK",
        SEED,
    ),
    _known(
        "source-missing",
        r"CDI spec not found at (?P<name>/\S+)|source (?P<other>/\S+): missing",
        "The installer finds no generated spec: the generator has not run, or has failed without a word.",
        "kubectl -n kube-system logs -l app=nvidia-cdi-generator; pulumi up --refresh generates it anew",
        f"{SEED}; components/installer/host.sh",
    ),
    _known(
        "driver-moved",
        r"driver: the host has (?P<name>[\d.]+), the spec is for (?P<other>[\d.]+)",
        "The node has another driver than the spec was made for; the installer has taken the spec away.",
        "pulumi up --refresh generates, patches and installs it anew; cdi.regenerate: boot does so by itself",
        "components/installer/host.sh",
    ),
    _known(
        "driver-unloaded",
        r"driver: not loaded|nvml error: driver not loaded",
        "NVIDIA's kernel modules are not loaded on the node.",
        "machine.kernel.modules: nvidia, nvidia_uvm, nvidia_drm, nvidia_modeset; talosctl dmesg | grep -i nvrm",
        "components/installer/host.sh; libnvidia-container, nvml",
    ),
    _known(
        "cuinit-999",
        r"cuInit\b[^\n]{0,24}\b999\b",
        "CUDA cannot start: /dev/nvidia-uvm is missing in the container, or the spec has its major of another boot.",
        "pulumi up --refresh, then restart the pod",
        H100,
    ),
    _known(
        "part-unreadable",
        r"error parsing (?P<name>/etc/cri/conf\.d/\S+\.part)",
        "A containerd part is no TOML; Talos does not finish its boot with that.",
        "mend it in machine.files; pulumi up writes the stack's own part anew",
        "siderolabs/talos, cri configuration",
    ),
    _known(
        "no-host-shell",
        r"nsenter: failed to execute (?:sh|/bin/sh)|chroot: can't execute 'sh'",
        "A Talos host has no shell: what is run on it through nsenter must be a program, run directly.",
        "nsenter -t 1 -m -- /usr/local/bin/nvidia-ctk cdi generate --output=/var/cdi/nvidia.yaml, with util-linux's "
        "nsenter",
        f"dra-driver-nvidia-gpu#695; {LAB}",
    ),
    _known(
        "libcuda-lookup",
        r"failed to (?:locate|get|find) .*libcuda\.so|libcuda\.so[\w.]*: not found",
        "nvidia-ctk does not find the driver's libraries: toolkits before 1.17 could not read Talos's library cache.",
        "add --mode=nvml --library-search-path=/usr/local/glibc/usr/lib, or use Talos 1.9 or later",
        "NVIDIA/nvidia-container-toolkit#735",
    ),
    _known(
        "nvml-at-generation",
        r"failed to (?:initialize|init) NVML|could not load NVML library|error initializing NVML",
        "nvidia-ctk cannot reach the driver on the node: the kernel modules are not loaded, or the extension is "
        "missing.",
        "machine.kernel.modules: nvidia, nvidia_uvm, nvidia_drm, nvidia_modeset; talosctl get extensions",
        "NVML API, nvmlReturn_t",
    ),
    _known(
        "runtimeclass-missing",
        r"RuntimeClass \"?(?P<name>[\w.-]+)\"? not found|runtimeclass.* \"(?P<other>[\w.-]+)\" not found",
        "The pod names a RuntimeClass that the cluster does not have.",
        "cdi.runtime_class_owner: true in one stack, then pulumi up",
        "Kubernetes, Runtime Class",
    ),
    _known(
        "handler-unknown",
        r"no runtime for \"(?P<name>[\w.-]+)\" is configured|unable to get OCI runtime for sandbox.*no runtime",
        "The RuntimeClass names a handler that the node's containerd does not know: the part is missing, in the wrong "
        "section, or the node has not restarted since.",
        "talosctl read /etc/cri/conf.d/20-customization.part; pulumi up applies the machine config and restarts the "
        "node",
        "containerd internal/cri/server",
    ),
    _known(
        "podsecurity-refuses",
        r"violates PodSecurity \"(?P<name>[\w:.-]+)\"",
        "The namespace's PodSecurity level refuses the pod (hostPath, hostPID or privileged).",
        "put what is privileged into kube-system, or: kubectl label namespace NAME "
        "pod-security.kubernetes.io/enforce=privileged",
        "Talos docs, Pod Security; Kubernetes, Pod Security Standards",
    ),
    _known(
        "taint-untolerated",
        r"had untolerated taint(?:\(s\)|s)? ?\{?(?P<name>[\w./-]+)?",
        "The node's taint keeps the pod away.",
        "give the pod the toleration {key: nvidia.com/gpu, operator: Exists}, or take the taint off the node",
        "Kubernetes, Taints and Tolerations",
    ),
    _known(
        "label-missing",
        r"didn't match Pod's node (?:affinity|selector)",
        "No node has the labels that the pod asks for.",
        "kubectl get node NODE --show-labels; machine.nodeLabels needs node.kubernetes.io/gpu-vendor: nvidia",
        "Kubernetes, Assigning Pods to Nodes",
    ),
    _known(
        "resource-missing",
        r"Insufficient nvidia\.com/gpu",
        "The pod asks for the resource nvidia.com/gpu, which only a device plugin offers; CDI by RuntimeClass needs "
        "none.",
        "take the limit nvidia.com/gpu out and set runtimeClassName and NVIDIA_VISIBLE_DEVICES, or install a device "
        "plugin",
        "NVIDIA/k8s-device-plugin",
    ),
    _known(
        "image-unpullable",
        r"ErrImagePull|ImagePullBackOff|ErrImageNeverPull|failed to (?:pull|resolve) (?:and unpack "
        r")?(?:image|reference)",
        "The image cannot be pulled: its name or tag is wrong, the registry cannot be reached, or it wants "
        "credentials.",
        "kubectl describe pod tells the registry's words; pin an image by digest that is there",
        "Kubernetes, Images",
    ),
    _known(
        "glibc-cache",
        r"init \d+ result=11|exit status 139|exit code 139|ExitCode: 139",
        "Programs of the container crash at start (signal 11): on Talos 1.12.0 the library cache lacks the NVIDIA "
        "libraries.",
        "upgrade to Talos 1.13, or go back to 1.11",
        "siderolabs/extensions#940",
    ),
    _known(
        "mode-mismatch",
        r"invoking the NVIDIA Container Runtime Hook directly .* is not supported",
        "The runtime is in CDI mode and the legacy hook is called as well.",
        "use one of the two: the RuntimeClass nvidia-cdi with method spec, nvidia with the others",
        "NVIDIA container toolkit, cdi mode",
    ),
    _known(
        "no-gpu-on-bus",
        r"NVRM: No NVIDIA (?:GPU|graphics adapter|device)s? (?:probed|found)|modprobe: .*nvidia.*No such device",
        "The driver finds no GPU that it could drive: none is there, it was given away, or this driver's branch does "
        "not "
        "know it.",
        "lspci-like: talosctl get pcidevices; a Pascal card needs driver 580 or older",
        "NVIDIA driver README, Supported GPUs",
    ),
    _known(
        "driver-branch",
        r"NVRM: The NVIDIA .* GPU installed in this system is\s+.*supported through the NVIDIA (?P<name>\d+)\.xx "
        r"Legacy",
        "This GPU is too old for the driver's branch.",
        "use nonfree-kmod-nvidia-lts and nvidia-container-toolkit-lts",
        "NVIDIA driver README, Legacy GPUs; nixos-hardware#1880",
    ),
    _known(
        "driver-needs-open",
        r"NVRM:.*requires use of the NVIDIA open kernel modules|NVRM:.*installed in this system requires.*open",
        "This GPU works with the open kernel modules only.",
        "use nvidia-open-gpu-kernel-modules instead of nonfree-kmod-nvidia",
        "NVIDIA driver README, Open kernel modules",
    ),
    _known(
        "driver-apart",
        r"NVRM: API mismatch: the client has the version (?P<name>[\d.]+), but\s*(?:NVRM: )?this kernel module has the "
        r"version (?P<other>[\d.]+)",
        "Driver libraries and kernel module have different versions.",
        "take kernel module and container toolkit extension of one release, reboot, then pulumi up --refresh",
        "NVIDIA driver, NVRM",
    ),
    _known(
        "gpu-lost",
        r"GPU has fallen off the bus|Xid .*: 79\b",
        "The GPU is gone from the bus: power, heat, the riser or the passthrough.",
        "reboot the node, cold where it stays so; check power and passthrough",
        "NVIDIA, Xid errors: 79",
    ),
    _known(
        "gpu-xid",
        r"NVRM: Xid \((?P<name>[^)]*)\): (?P<other>\d+)",
        "The driver reports a fault of the GPU or of a program on it.",
        "look the number up in NVIDIA's list of Xid errors; 13, 31, 43, 45 are mostly the program's",
        "NVIDIA, Xid errors",
    ),
    _known(
        "module-refused",
        r"nvidia: (?:Unknown symbol|disagrees about version of symbol|version magic)|module verification failed.*nvidia"
        r"|Key was rejected by service",
        "The kernel refuses NVIDIA's module: it was built or signed for another Talos release.",
        "take the extensions of exactly this Talos release into the schematic",
        "Talos docs, System Extensions",
    ),
    _known(
        "talosconfig-expired",
        r"certificate has expired or is not yet valid|x509: certificate .*expired|tls: expired certificate",
        "A client certificate has expired.",
        "talosctl config new (Talos) or talosctl kubeconfig (Kubernetes) makes a new one",
        "Talos docs, Role-based access control",
    ),
    _known(
        "forwarding-refused",
        r"no request forwarding",
        "A worker's Talos API answers for itself only.",
        "set node.endpoint to a control plane's address, or leave it out",
        "siderolabs/talos, apid",
    ),
    _known(
        "files-twice",
        r"resource EtcFileSpecs.*already exists|failed to create .*20-customization\.part",
        "The machine config has the containerd part twice; Talos does not boot with that.",
        "make one entry of the two in machine.files; never patch a live config twice (lists are appended)",
        "siderolabs/talos WriteUserFiles",
    ),
    _known(
        "files-outside-var",
        r"create operation not allowed outside of /var",
        "machine.files makes files under /var only.",
        "use a path under /var, or /etc/cri/conf.d/20-customization.part for containerd",
        "siderolabs/talos WriteUserFiles",
    ),
    _known(
        "tdarr-server",
        r"(?:ECONNREFUSED|ENOTFOUND|ETIMEDOUT|EAI_AGAIN|EHOSTUNREACH)(?: (?P<name>[\w.:-]+))?",
        "The program cannot reach its server: the address is wrong, or nothing answers there.",
        "tdarr.server_url in the stack; kubectl -n NAMESPACE get svc,endpoints of the server",
        "HaveAGitGat/Tdarr, node settings",
    ),
    _known(
        "tdarr-path",
        r"ENOENT: no such file or directory, (?:open|stat|lstat|scandir|access) '(?P<name>/[^']+)'",
        "The server names a file that the worker does not have: their volumes are not mounted at the same paths.",
        "mount media and temp in tdarr.volumes at the server's own paths",
        "HaveAGitGat/Tdarr, path translators",
    ),
    _known(
        "nvidia-smi-missing",
        r"exec: \"nvidia-smi\": executable file not found",
        "nvidia-smi is not in the container: nothing was injected into it.",
        "give the pod runtimeClassName and NVIDIA_VISIBLE_DEVICES=all; CDI acts when a container is made: restart it",
        H100,
    ),
)
"""Every known text, the more exact before the more general."""
