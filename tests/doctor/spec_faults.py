"""Faults of CDI specs."""

from __future__ import annotations

import json

from talos_gpu.cdi import Strategy, patch
from talos_gpu.doctor.bundle import host
from tests.doctor.bundles import FIXTURES, INSTALLED, P2000, PART, SOURCE, Box
from tests.doctor.fault import (
    MOUNT,
    NO_TOPIC,
    UNRESOLVABLE,
    WRAPPER,
    create_fails,
    fault,
    installer_says,
    respec,
    withdrawn,
)

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
