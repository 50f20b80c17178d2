"""Error texts of what lies around: cluster, kernel and driver, Talos, the workload."""

from __future__ import annotations

from collections.abc import Sequence

from talos_gpu.doctor.known_text import H100, Known, known

UNREACHABLE = r"(?:ECONNREFUSED|ENOTFOUND|ETIMEDOUT|EAI_AGAIN|EHOSTUNREACH)"
"""Node.js's codes for a server that it does not reach; any program's, so that more must say that it is Tdarr's."""
TEXTS: Sequence[Known] = (
    known(
        "runtimeclass-missing",
        r"RuntimeClass \"?(?P<name>[\w.-]+)\"? not found|"
        r"[Rr]untime[Cc]lass(?:es)?(?:\.node\.k8s\.io)?:? \"(?P<other>[\w.-]+)\" not found",
        "The pod names a RuntimeClass that the cluster does not have.",
        "cdi.runtime_class_owner: true in one stack, then pulumi up",
        "Kubernetes, Runtime Class",
    ),
    known(
        "handler-unknown",
        r"no runtime for \"(?P<name>[\w.-]+)\" is configured",
        "The RuntimeClass names a handler that the node's containerd does not know: the part is missing, in the wrong "
        "section, or the node has not restarted since.",
        "talosctl read /etc/cri/conf.d/20-customization.part; pulumi up applies the machine config and restarts the "
        "node",
        "containerd internal/cri/server",
    ),
    known(
        "podsecurity-refuses",
        r"violates PodSecurity \"(?P<name>[\w:.-]+)\"",
        "The namespace's PodSecurity level refuses the pod (hostPath, hostPID or privileged).",
        "put what is privileged into kube-system, or: kubectl label namespace NAME "
        "pod-security.kubernetes.io/enforce=privileged",
        "Talos docs, Pod Security; Kubernetes, Pod Security Standards",
    ),
    known(
        "taint-untolerated",
        r"had untolerated taint(?:\(s\)|s)? ?\{?(?P<name>[\w./-]+)?",
        "The node's taint keeps the pod away.",
        "give the pod the toleration {key: nvidia.com/gpu, operator: Exists}, or take the taint off the node",
        "Kubernetes, Taints and Tolerations",
    ),
    known(
        "label-missing",
        r"didn't match Pod's node (?:affinity|selector)",
        "No node has the labels that the pod asks for.",
        "kubectl get node NODE --show-labels; machine.nodeLabels needs node.kubernetes.io/gpu-vendor: nvidia",
        "Kubernetes, Assigning Pods to Nodes",
    ),
    known(
        "resource-missing",
        r"Insufficient nvidia\.com/gpu",
        "The pod asks for the resource nvidia.com/gpu, which only a device plugin offers; CDI by RuntimeClass needs "
        "none.",
        "take the limit nvidia.com/gpu out and set runtimeClassName and NVIDIA_VISIBLE_DEVICES, or install a device "
        "plugin",
        "NVIDIA/k8s-device-plugin",
    ),
    known(
        "image-unpullable",
        r"ErrImagePull|ImagePullBackOff|ErrImageNeverPull|failed to (?:pull|resolve) (?:and unpack "
        r")?(?:image|reference)",
        "The image cannot be pulled: its name or tag is wrong, the registry cannot be reached, or it wants "
        "credentials.",
        "kubectl describe pod tells the registry's words; pin an image by digest that is there",
        "Kubernetes, Images",
    ),
    known(
        "glibc-cache",
        r"init \d+ result=11|\b(?:nvidia|ffmpeg|cuda|tdarr).{0,80}?(?:exit status|exit code|ExitCode:) 139\b",
        "Programs of the container crash at start (signal 11): on Talos 1.12.0 the library cache lacks the NVIDIA "
        "libraries.",
        "upgrade to Talos 1.13, or go back to 1.11",
        "siderolabs/extensions#940",
    ),
    known(
        "mode-mismatch",
        r"invoking the NVIDIA Container Runtime Hook directly .{0,80}? is not supported",
        "The runtime is in CDI mode and the legacy hook is called as well.",
        "use one of the two: the RuntimeClass nvidia-cdi with method spec, nvidia with the others",
        "NVIDIA container toolkit, cdi mode",
    ),
    known(
        "no-gpu-on-bus",
        r"NVRM: No NVIDIA (?:GPU|graphics adapter|device)s? (?:probed|found)|"
        r"modprobe: (?:\w+: )?[\w' ]{0,40}\bnvidia[\w-]{0,20}'?(?: \([^)]{0,160}\))?: No such device",
        "The driver finds no GPU that it could drive: none is there, it was given away, or this driver's branch does "
        "not "
        "know it.",
        "lspci-like: talosctl get pcidevices; a Pascal card needs driver 580 or older",
        "NVIDIA driver README, Supported GPUs",
    ),
    known(
        "driver-branch",
        r"NVRM: The NVIDIA .{0,60}? GPU installed in this system is\s+.{0,20}?supported through "
        r"the NVIDIA (?P<name>\d+)\.xx Legacy",
        "This GPU is too old for the driver's branch.",
        "use nonfree-kmod-nvidia-lts and nvidia-container-toolkit-lts",
        "NVIDIA driver README, Legacy GPUs; nixos-hardware#1880",
    ),
    known(
        "driver-needs-open",
        r"NVRM:.{0,160}?requires use of the NVIDIA open kernel modules|"
        r"NVRM:.{0,160}?installed in this system requires.{0,80}?open",
        "This GPU works with the open kernel modules only.",
        "use nvidia-open-gpu-kernel-modules instead of nonfree-kmod-nvidia",
        "NVIDIA driver README, Open kernel modules",
    ),
    known(
        "driver-apart",
        r"NVRM: API mismatch: the client has the version (?P<name>[\d.]+), but\s*(?:NVRM: )?this kernel module has the "
        r"version (?P<other>[\d.]+)",
        "Driver libraries and kernel module have different versions.",
        "take kernel module and container toolkit extension of one release, reboot, then pulumi up --refresh",
        "NVIDIA driver, NVRM",
    ),
    known(
        "gpu-lost",
        r"GPU has fallen off the bus|Xid \([^)]{0,60}\): 79\b",
        "The GPU is gone from the bus: power, heat, the riser or the passthrough.",
        "reboot the node, cold where it stays so; check power and passthrough",
        "NVIDIA, Xid errors: 79",
    ),
    known(
        "gpu-xid",
        r"NVRM: Xid \((?P<name>[^)]*)\): (?P<other>\d+)",
        "The driver reports a fault of the GPU or of a program on it.",
        "look the number up in NVIDIA's list of Xid errors; 13, 31, 43, 45 are mostly the program's",
        "NVIDIA, Xid errors",
    ),
    known(
        "module-refused",
        r"nvidia: (?:Unknown symbol|disagrees about version of symbol|version magic)|"
        r"module verification failed.{0,80}?nvidia|\bnvidia[^:]{0,40}: Key was rejected by service",
        "The kernel refuses NVIDIA's module: it was built or signed for another Talos release.",
        "take the extensions of exactly this Talos release into the schematic",
        "Talos docs, System Extensions",
    ),
    known(
        "talosconfig-expired",
        r"tls: expired certificate|client certificate (?:has )?expired|"
        r"[Uu]nable to authenticate the request.{0,40}?x509: certificate has expired",
        "A client certificate has expired.",
        "talosctl config new (Talos) or talosctl kubeconfig (Kubernetes) makes a new one",
        "Talos docs, Role-based access control",
    ),
    known(
        "forwarding-refused",
        r"no request forwarding",
        "A worker's Talos API answers for itself only.",
        "set node.endpoint to a control plane's address, or leave it out",
        "siderolabs/talos, apid",
    ),
    known(
        "files-twice",
        r"resource EtcFileSpecs.{0,160}?already exists|failed to create .{0,100}?20-customization\.part",
        "The machine config has the containerd part twice; Talos does not boot with that.",
        "make one entry of the two in machine.files; never patch a live config twice (lists are appended)",
        "siderolabs/talos WriteUserFiles",
    ),
    known(
        "files-outside-var",
        r"create operation not allowed outside of /var",
        "machine.files makes files under /var only.",
        "use a path under /var, or /etc/cri/conf.d/20-customization.part for containerd",
        "siderolabs/talos WriteUserFiles",
    ),
    known(
        "tdarr-server",
        rf"{UNREACHABLE} (?P<name>[\w.:\[\]-]{{1,200}}:826[4-7])\b|"
        rf"{UNREACHABLE} (?P<other>[\w.-]{{0,100}}tdarr[\w.:-]{{0,100}})"
        rf"|[Tt]darr[^:]{{0,40}}: .{{0,80}}?{UNREACHABLE}",
        "The program cannot reach its server: the address is wrong, or nothing answers there.",
        "tdarr.server_url in the stack; kubectl -n NAMESPACE get svc,endpoints of the server",
        "HaveAGitGat/Tdarr, node settings",
    ),
    known(
        "tdarr-path",
        r"ENOENT: no such file or directory, (?:open|stat|lstat|scandir|access) "
        r"'(?P<name>/[^']{1,400}?(?:\.(?:mkv|mp4|m4v|avi|mov|ts|m2ts|webm|wmv|mpe?g|flv|srt)|/tdarr-workDir[^']{0,400}))'",
        "The server names a file that the worker does not have: their volumes are not mounted at the same paths.",
        "mount media and temp in tdarr.volumes at the server's own paths",
        "HaveAGitGat/Tdarr, path translators",
    ),
    known(
        "nvidia-smi-missing",
        r"exec: \"nvidia-smi\": executable file not found",
        "nvidia-smi is not in the container: nothing was injected into it.",
        "give the pod runtimeClassName and NVIDIA_VISIBLE_DEVICES=all; CDI acts when a container is made: restart it",
        H100,
    ),
)
