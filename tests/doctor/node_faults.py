"""Faults of the node: extensions, driver, modules, devices."""

from __future__ import annotations

import json

from talos_gpu.doctor.bundle import host, listing
from tests.doctor.bundles import UDEV, Box
from tests.doctor.fault import (
    create_fails,
    fault,
    installer_says,
    withdrawn,
    without_modules,
)

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


@fault("a device node that only root may open", "device-permissions")
def _mode(box: Box) -> None:
    box.texts[listing("/dev")] = box.texts[listing("/dev")].replace("0666 nvidiactl", "0660 nvidiactl")


@fault("a udev rule takes the device node's permissions away", "udev-rule-takes-access")
def _udev(box: Box) -> None:
    _mode(box)
    box.texts[host(UDEV)] += 'KERNEL=="nvidiactl|nvidia[0-9]*", GROUP="44", MODE="0660"\n'


@fault("the seed's udev rules, for names that no device node has", "udev-rule-matches-nothing")
def _inert(box: Box) -> None:
    names = ("nvidia", "nvidia_uvm", "nvidia-uvm-tools", "nvidia-modeset", "nvidiactl")
    box.texts[host(UDEV)] += "".join(f'KERNEL=="{name}", MODE="0666"\n' for name in names)


@fault("toolkit older than 1.17.8", "toolkit-cve")
def _cve(box: Box) -> None:
    box.json("talos/extensions.json")["nvidia-container-toolkit-lts"] = "535.247.01-v1.17.6"


@fault("node runs another release than the stack says", "release-differs")
def _release(box: Box) -> None:
    box.meta["release"] = "v1.10.4"
