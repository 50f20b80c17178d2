"""Error texts of the injection: runtime, hooks, specs, the generator and the installer."""

from __future__ import annotations

from collections.abc import Sequence

from talos_gpu.doctor.known_text import H100, LAB, SEED, Known, known


def _cuinit(code: int) -> str:
    """`cuInit 999`, `cuInit(0) returned 999`, `cuInit: error code 999`."""
    return rf"cuInit\b(?:\(0\))?\W{{0,4}}(?:(?:returned|failed|error|code|with|is|result)\W{{1,4}}){{0,4}}{code}\b"


TEXTS: Sequence[Known] = (
    known(
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
    known(
        "legacy-cgroup",
        r"nvidia-container-cli: (?:[\w ]{1,30} error: )?"
        r"(?:failed to add device rules|unable to (?:generate|find) (?:\w+ ){0,6}?device filter)",
        "Legacy injection could not change the container's device filter.",
        "use CDI: cdi.method: spec or jit",
        "libnvidia-container#176",
    ),
    known(
        "wrapper-unknown-command",
        r"nvidia-container-runtime-wrapper: unknown command (?P<name>\S+)",
        "Talos 1.8 to 1.12 put a wrapper with six names before NVIDIA's programs, and nvidia-cdi-hook is none of "
        "them: the "
        "CDI spec's hooks still run the wrapper, the spec was installed without the patch.",
        "pulumi up (method spec patches the hook paths to nvidia-cdi-hook.real), or cdi.hook: nvidia-ctk",
        f"siderolabs/extensions release-1.11 nvidia-container-runtime-wrapper/main.go; {SEED}",
    ),
    known(
        "spec-newer-than-hook",
        r"No help topic for '(?P<name>disable-device-node-modification|enable-cuda-compat|update-application-profile)'",
        "The CDI spec was made by a newer container toolkit than the hook binary on the node: it asks for a hook "
        "that the "
        "binary does not know.",
        "generate the spec with the node's own nvidia-ctk: pulumi up --refresh",
        H100,
    ),
    known(
        "spec-conflict",
        r"conflicting device \"?(?P<name>[\w./=-]+)\"?",
        "Two files of one CDI folder name the same device; containerd then takes it from neither.",
        "remove one of the two files from the folder",
        f"CDI pkg/cdi/cache.go; {H100}",
    ),
    known(
        "spec-invalid",
        r"failed to (?:parse|load|read) CDI [Ss]pec|json: unknown field",
        "containerd does not load the CDI spec: it breaks the specification (an unknown field is enough), so no "
        "device of "
        "it is known.",
        "talos-gpu cdi validate FILE names every fault; generate the spec anew: pulumi up --refresh",
        f"CDI pkg/cdi/spec.go; {H100}",
    ),
    known(
        "spec-paths-missing",
        r"failed to fulfil mount request: open (?P<name>\S+\.so\.[\d.]+): no such file",
        "The CDI spec names libraries of another driver version than the node has: it is older than the last driver "
        "change.",
        "generate and install the spec anew: pulumi up --refresh",
        H100,
    ),
    known(
        "hook-missing",
        r"(?:fork/exec |exec: \"?|stat )(?P<name>/\S{0,200}?nvidia-\S{0,100})\"?: no such file or directory",
        "A binary that the CDI spec or the runtime's configuration names is not on the node (from Talos 1.13 there "
        "is no "
        "nvidia-cdi-hook.real).",
        "generate the spec anew for this release; from 1.13 use cdi.method: native",
        "siderolabs/extensions c5480f9",
    ),
    known(
        "device-unresolvable",
        r"unresolvable CDI devices? (?P<name>\S+)",
        "No CDI spec that containerd or the NVIDIA runtime reads provides this device: none is installed, it is not "
        "loadable, it is in a folder that nobody reads, or two files conflict.",
        "kubectl -n kube-system get pods -l app=nvidia-cdi-init; talosctl list /var/run/cdi; talos-gpu doctor STACK",
        SEED,
    ),
    known(
        "source-missing",
        r"CDI spec not found at (?P<name>/\S+)|source (?P<other>/\S+): missing",
        "The installer finds no generated spec: the generator has not run, or has failed without a word.",
        "kubectl -n kube-system logs -l app=nvidia-cdi-generator; pulumi up --refresh generates it anew",
        f"{SEED}; components/installer/host.sh",
    ),
    known(
        "driver-moved",
        r"driver: the host has (?P<name>[\d.]+), the spec is for (?P<other>[\d.]+)",
        "The node has another driver than the spec was made for; the installer has taken the spec away.",
        "pulumi up --refresh generates, patches and installs it anew; cdi.regenerate: boot does so by itself",
        "components/installer/host.sh",
    ),
    known(
        "driver-unloaded",
        r"driver: not loaded|nvml error: driver not loaded",
        "NVIDIA's kernel modules are not loaded on the node.",
        "machine.kernel.modules: nvidia, nvidia_uvm, nvidia_drm, nvidia_modeset; talosctl dmesg | grep -i nvrm",
        "components/installer/host.sh; libnvidia-container, nvml",
    ),
    known(
        "cuinit-999",
        _cuinit(999),
        "CUDA cannot start: /dev/nvidia-uvm is missing in the container, or the spec has its major of another boot.",
        "pulumi up --refresh, then restart the pod",
        H100,
    ),
    known(
        "cuinit-100",
        _cuinit(100),
        "CUDA finds no GPU: /dev/nvidiactl or /dev/nvidia0 is missing or refused in the container.",
        "pulumi up --refresh, then restart the pod",
        H100,
    ),
    known(
        "cuinit-803",
        _cuinit(803),
        "The driver library in the container and the loaded kernel module have different versions.",
        "make kernel module and container toolkit extension of one version, reboot, then pulumi up --refresh",
        "CUDA driver API, CUresult 803",
    ),
    known(
        "part-unreadable",
        r"error parsing (?P<name>/etc/cri/conf\.d/\S+\.part)",
        "A containerd part is no TOML; Talos does not finish its boot with that.",
        "mend it in machine.files; pulumi up writes the stack's own part anew",
        "siderolabs/talos, cri configuration",
    ),
    known(
        "no-host-shell",
        r"nsenter: failed to execute (?:sh|/bin/sh)|chroot: can't execute 'sh'",
        "A Talos host has no shell: what is run on it through nsenter must be a program, run directly.",
        "nsenter -t 1 -m -- /usr/local/bin/nvidia-ctk cdi generate --output=/var/cdi/nvidia.yaml, with util-linux's "
        "nsenter",
        f"dra-driver-nvidia-gpu#695; {LAB}",
    ),
    known(
        "libcuda-lookup",
        r"failed to (?:locate|get|find) .{0,80}?libcuda\.so|libcuda\.so[\w.]*: not found",
        "nvidia-ctk does not find the driver's libraries: toolkits before 1.17 could not read Talos's library cache.",
        "cdi.generator_flags: [--mode=nvml, --library-search-path=/usr/local/glibc/usr/lib], or use Talos 1.9 or later",
        "NVIDIA/nvidia-container-toolkit#735",
    ),
    known(
        "nvml-at-generation",
        r"failed to (?:initialize|init) NVML|could not load NVML library|error initializing NVML",
        "nvidia-ctk cannot reach the driver on the node: the kernel modules are not loaded, or the extension is "
        "missing.",
        "machine.kernel.modules: nvidia, nvidia_uvm, nvidia_drm, nvidia_modeset; talosctl get extensions",
        "NVML API, nvmlReturn_t",
    ),
)
