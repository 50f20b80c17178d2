"""The node: extensions, driver, kernel modules, device nodes."""

from __future__ import annotations

import re
from collections.abc import Iterator

from talos_gpu.doctor.bundle import META
from talos_gpu.doctor.finding import Check, Found, Severity
from talos_gpu.doctor.view import View, numbers

MODULES = ("nvidia", "nvidia_uvm", "nvidia_drm", "nvidia_modeset")
LOCAL_MODULES = ("nvidia", "nvidia_uvm")
"""Needed where no stack says more: display modules are a matter of taste."""
NEEDED_NODES = ("nvidiactl", "nvidia-uvm", "nvidia0")
_SAFE_TOOLKIT = (1, 17, 8)
_LAST_OF_PASCAL = 580
_PASCAL = re.compile(
    r"\b(?:Quadro (?:P|M|K|GP)\d+|GTX (?:9|10)\d\d|GT 10[13]0|Tesla (?:P|M|V)\d+|TITAN (?:X|V)|Quadro "
    r"GV100|P40|P4|P100|V100)"
)
"""Maxwell, Pascal, Volta: 580 is their last branch, and they have no open modules."""
_BLACKWELL = re.compile(r"\b(?:RTX 50\d\d|RTX PRO \d+ Blackwell|B100|B200|B300|GB200)")
_FIRST_OF_BLACKWELL = 570
_NO_GPU = re.compile(r"NVRM: No NVIDIA (?:GPU|graphics adapter|device)s? (?:probed|found)|NVRM: GPU .* not supported")
_LOST = re.compile(r"GPU has fallen off the bus|NVRM: Xid \([^)]*\): 79\b")


def _extension_missing(view: View) -> Iterator[str]:
    listed = ", ".join(view.extensions) or "none"
    if view.module_extension is None:
        yield f"talosctl get extensions: no NVIDIA kernel modules among {listed}"
    if view.toolkit_extension is None:
        yield f"talosctl get extensions: no nvidia-container-toolkit among {listed}"


def _not_loaded(view: View) -> Iterator[str | Found]:
    needed = MODULES if META in view.bundle.texts else LOCAL_MODULES
    missing = [name for name in needed if name not in view.modules]
    if not missing:
        return
    declared = view.bundle.texts.get("talos/declared-modules.txt")
    if declared is not None:
        undeclared = [name for name in missing if name not in declared.split()]
        if not undeclared:
            yield Found(
                f"declared and not loaded: {', '.join(missing)}",
                "The modules are declared and the kernel did not take them: extension and Talos release do not fit, "
                "or the "
                "driver finds no GPU.",
                "talosctl dmesg | grep -iE 'nvidia|nvrm'",
            )
            return
        missing = undeclared
    yield f"not loaded: {', '.join(missing)}"


def _apart(view: View) -> Iterator[str]:
    toolkit = view.toolkit_extension
    module = view.module_extension
    if toolkit is None or module is None:
        return
    library, kernel = toolkit[1].partition("-")[0], module[1].partition("-")[0]
    if library != kernel:
        yield f"extension {module[0]} is {kernel}, {toolkit[0]} has the libraries of {library}"
    elif view.driver is not None and view.driver != library:
        yield f"/proc/driver/nvidia/version says {view.driver}, {toolkit[0]} has the libraries of {library}"


def _branch(view: View) -> Iterator[str | Found]:
    gpu = view.meta.required("gpu")
    extension = view.module_extension
    if extension is None:
        return
    name, version = extension
    major = numbers(version)[0]
    if _PASCAL.search(gpu) and major > _LAST_OF_PASCAL:
        yield f"{gpu} with {name} {version}: the last branch that knows it is {_LAST_OF_PASCAL}"
    elif _PASCAL.search(gpu) and name.startswith("nvidia-open"):
        yield f"{gpu} with {name}: the open modules know Turing and later only"
    elif _BLACKWELL.search(gpu) and (major < _FIRST_OF_BLACKWELL or name.startswith("nonfree")):
        yield Found(
            f"{gpu} with {name} {version}: it needs the open modules of {_FIRST_OF_BLACKWELL} or later",
            remedy="put nvidia-open-gpu-kernel-modules-production into the schematic",
        )


def _no_gpu(view: View) -> Iterator[str]:
    lines = [line for line in view.dmesg if _NO_GPU.search(line)]
    if lines:
        yield f"dmesg: {lines[-1].strip()}"


def _lost(view: View) -> Iterator[str]:
    lines = [line for line in view.dmesg if _LOST.search(line)]
    if lines:
        yield f"dmesg: {lines[-1].strip()}"


def _nodes_missing(view: View) -> Iterator[str]:
    entries = view.entries("/dev")
    if entries is None or "nvidia" not in view.modules:
        return
    missing = [name for name in NEEDED_NODES if name not in entries]
    if missing:
        yield f"modules are loaded, and /dev lacks {', '.join(missing)}"


def _permissions(view: View) -> Iterator[str]:
    for name, mode in (view.entries("/dev") or {}).items():
        if name in NEEDED_NODES and mode is not None and mode & 0o666 != 0o666:
            yield f"/dev/{name} has mode {mode & 0o777:04o}, programs that are not root need 0666"


def _gpu_image(view: View) -> Iterator[str]:
    failed = [
        f"{name} is {service['state']}"
        for name, service in view.services.items()
        if name.startswith("ext-nvidia") and service["state"] not in ("Running", "Finished", "Skipped")
    ]
    if failed and "nvidia" not in view.modules and any(_NO_GPU.search(line) for line in view.dmesg):
        yield f"{'; '.join(failed)}, the module nvidia is not loaded, and dmesg says that there is no GPU"


def _native_service(view: View) -> Iterator[str]:
    if not view.release.native:
        return
    service = view.services.get("ext-nvidia-cdi-gen")
    if service is None:
        yield "talosctl services: there is no ext-nvidia-cdi-gen"
    elif service["state"] != "Finished":
        yield f"ext-nvidia-cdi-gen is {service['state']}: {service.get('message') or 'no message'}"


def _cve(view: View) -> Iterator[str]:
    if view.toolkit is not None and numbers(view.toolkit) < _SAFE_TOOLKIT:
        yield f"the extension brings container toolkit {view.toolkit}"


def _release_differs(view: View) -> Iterator[str]:
    said, real = view.meta.required("release"), view.bundle.text("talos/version.txt").strip()
    if numbers(said)[:2] != numbers(real)[:2]:
        yield f"the node runs {real}, the stack says {said}"


_SCHEMATIC = "take siderolabs/nonfree-kmod-nvidia-lts and siderolabs/nvidia-container-toolkit-lts into the schematic"
_POD = ("pod-fails", "worker-not-ready", "installer-failing", "generator-failed")
_SPEC = ("spec-missing", "spec-source-missing", "spec-stale", "spec-paths-missing")

CHECKS = (
    Check(
        "extension-missing",
        Severity.ERROR,
        "The node's image lacks an NVIDIA system extension: kernel modules, or container toolkit.",
        f"{_SCHEMATIC}, then upgrade the node to that image",
        "Talos docs, NVIDIA GPU (proprietary drivers)",
        _extension_missing,
        (
            "module-not-loaded",
            "device-node-missing",
            "hook-missing",
            "runtime-binary-missing",
            "native-service-failed",
            *_SPEC,
            *_POD,
        ),
    ),
    Check(
        "gpu-image-without-gpu",
        Severity.ERROR,
        "An image with NVIDIA extensions runs on a node without a working GPU: the extension services never come up, "
        "the "
        "boot sequence fails and the node restarts about every 70 minutes.",
        "give the node the schematic without NVIDIA extensions, or mend the passthrough of its GPU",
        "cozystack#3571",
        _gpu_image,
        ("module-not-loaded", "gpu-not-found", "native-service-failed", "device-node-missing", *_SPEC, *_POD),
    ),
    Check(
        "driver-branch",
        Severity.ERROR,
        "The driver's branch does not know this GPU's generation.",
        _SCHEMATIC,
        "NVIDIA driver README, Legacy GPUs; nixos-hardware#1880; allenporter/k8s-gitops#2518",
        _branch,
        (
            "gpu-not-found",
            "module-not-loaded",
            "gpu-image-without-gpu",
            "native-service-failed",
            "device-node-missing",
            *_SPEC,
            *_POD,
        ),
    ),
    Check(
        "gpu-not-found",
        Severity.ERROR,
        "The driver is loaded, or was tried, and finds no GPU on the bus.",
        "talosctl get pcidevices; mend the passthrough or the seat of the card",
        "NVIDIA driver, NVRM",
        _no_gpu,
        ("module-not-loaded", "device-node-missing", "native-service-failed", *_SPEC, *_POD),
    ),
    Check(
        "gpu-lost",
        Severity.ERROR,
        "The GPU fell off the bus since the last boot.",
        "reboot the node (cold where it stays so); check power, heat and passthrough",
        "NVIDIA, Xid errors: 79",
        _lost,
        ("device-node-missing", *_POD),
    ),
    Check(
        "module-not-loaded",
        Severity.ERROR,
        "NVIDIA's kernel modules are blacklisted by the extension: they are loaded only if the machine config names "
        "them.",
        "machine.kernel.modules: nvidia, nvidia_uvm, nvidia_drm, nvidia_modeset (pulumi up adds them)",
        "talos#7043, talos#9187",
        _not_loaded,
        ("device-node-missing", "native-service-failed", "driver-apart", *_SPEC, *_POD),
    ),
    Check(
        "driver-apart",
        Severity.ERROR,
        "Kernel module and driver libraries have different versions; CUDA refuses that (803), nvidia-smi too.",
        "take both extensions of one Talos release and branch into the schematic, upgrade, then pulumi up --refresh",
        "CUDA driver API, CUresult 803",
        _apart,
        ("spec-stale", "spec-paths-missing", "spec-missing", *_POD),
    ),
    Check(
        "device-node-missing",
        Severity.ERROR,
        "The modules are loaded and device nodes are missing: nvidia-modprobe has not made them.",
        "reboot the node; talosctl logs ext-nvidia-modprobe",
        "siderolabs/extensions, 15-nvidia-device.rules",
        _nodes_missing,
        ("spec-missing", *_POD),
    ),
    Check(
        "device-permissions",
        Severity.WARNING,
        'A device node may not be opened by programs that are not root. udev rules for KERNEL=="nvidia" match no node.',
        "reboot the node: nvidia-modprobe makes the nodes with 0666; take udev rules away that set another mode",
        "siderolabs/extensions, 15-nvidia-device.rules",
        _permissions,
        ("worker-not-ready",),
    ),
    Check(
        "native-service-failed",
        Severity.ERROR,
        "From Talos 1.13 the service ext-nvidia-cdi-gen makes the CDI spec at each boot; it has not.",
        "talosctl logs ext-nvidia-cdi-gen; talosctl services ext-nvidia-persistenced",
        "siderolabs/extensions c5480f9",
        _native_service,
        ("spec-missing", *_POD),
    ),
    Check(
        "toolkit-cve",
        Severity.WARNING,
        "Container toolkits before 1.17.8 let a container take over the host by its hooks (CVE-2025-23266).",
        "upgrade Talos: the extensions of 1.11.1 and later bring 1.17.8 or newer",
        "CVE-2025-23266",
        _cve,
    ),
    Check(
        "release-differs",
        Severity.WARNING,
        "The node runs another Talos release than the stack says, and the release decides how the spec is patched.",
        "correct node.talos in the stack, then pulumi preview",
        "docs/architecture.md",
        _release_differs,
        ("spec-unpatched", "hook-missing", "patched-on-native"),
    ),
)
