"""A healthy node as a bundle, and the means to break it."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from talos_gpu.cdi import Strategy, facts, patch
from talos_gpu.doctor.bundle import Bundle, host, listing
from talos_gpu.talos.machine_config import UDEV_RULES

FIXTURES = Path(__file__).parents[1] / "fixtures" / "cdi"
P2000 = (FIXTURES / "p2000-535" / "toolkit-1.17.8.yaml").read_text()
INSTALLED, SOURCE = "/var/run/cdi/nvidia.yaml", "/var/cdi/nvidia.yaml"
UDEV = "/usr/lib/udev/rules.d/99-talos.rules"
PART = "/etc/cri/conf.d/20-customization.part"
PART_TEXT = """[plugins."io.containerd.cri.v1.runtime"]
  cdi_spec_dirs = ["/etc/cdi", "/var/run/cdi"]
  [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.nvidia-cdi]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.nvidia-cdi.options]
      BinaryName = "/usr/local/bin/nvidia-container-runtime.cdi"
"""
MADE = "2026-11-24T02:00:00+00:00"
SET = "nvidia-cdi-init-talos05"
TOLERATIONS = [{"key": "nvidia.com/gpu", "operator": "Exists"}]
MODULES = "nvidia nvidia_uvm nvidia_drm nvidia_modeset"
BINARIES = (
    "nvidia-ctk nvidia-ctk.real nvidia-cdi-hook nvidia-cdi-hook.real nvidia-container-runtime "
    "nvidia-container-runtime.cdi nvidia-smi"
)


class Box:
    """A bundle under change: texts, reasons, and objects that are written back as JSON."""

    def __init__(self, bundle: Bundle) -> None:
        self.texts = dict(bundle.texts)
        self.unread = dict(bundle.unread)
        self._objects: dict[str, Any] = {}

    def json(self, key: str) -> Any:
        """The value of a JSON text; changes to it are kept."""
        return self._objects.setdefault(key, json.loads(self.texts[key]))

    def items(self, plural: str) -> list[Any]:
        found: list[Any] = self.json(f"cluster/{plural}.json")["items"]
        return found

    @property
    def meta(self) -> dict[str, Any]:
        found: dict[str, Any] = self.json("meta.json")
        return found

    @property
    def worker(self) -> dict[str, Any]:
        found: dict[str, Any] = next(pod for pod in self.items("pods") if pod["metadata"]["name"] == "tdarr-0")
        return found

    @property
    def installer(self) -> dict[str, Any]:
        found: dict[str, Any] = next(pod for pod in self.items("pods") if pod["metadata"]["name"].startswith(SET))
        return found

    def file(self, path: str, text: str | None) -> None:
        """A file of the node: its text, None where it is not there; the listing of its folder follows."""
        folder, _, name = path.rpartition("/")
        self.texts.pop(host(path), None)
        self.unread.pop(host(path), None)
        names = [line for line in self.texts.get(listing(folder), "").splitlines() if line.split()[-1] != name]
        if text is None:
            self.unread[host(path)] = ""
        else:
            self.texts[host(path)] = text
            names.append(f"0644 {name}")
        self.texts[listing(folder)] = "\n".join(names)

    def edit(self, path: str, old: str, new: str) -> None:
        text = self.texts[host(path)]
        assert old in text, f"{path} has no {old!r}"
        self.texts[host(path)] = text.replace(old, new)

    def drop(self, folder: str, *names: str) -> None:
        """Entries of a folder that are gone."""
        lines = self.texts[listing(folder)].splitlines()
        kept = [line for line in lines if line.split()[-1] not in names]
        assert len(kept) < len(lines), f"{folder} had none of {names}"
        self.texts[listing(folder)] = "\n".join(kept)

    def event(self, about: Mapping[str, Any], message: str, reason: str = "Failed") -> None:
        metadata = about["metadata"]
        self.items("events").append(
            {
                "type": "Warning",
                "reason": reason,
                "message": message,
                "lastTimestamp": "2026-11-24T01:59:00Z",
                "metadata": {"namespace": metadata.get("namespace")},
                "involvedObject": {
                    "kind": about.get("kind", "Pod"),
                    "name": metadata["name"],
                    "namespace": metadata.get("namespace"),
                },
            }
        )

    def waits(self, pod: dict[str, Any], reason: str, message: str) -> None:
        """The pod does not start."""
        pod["status"] = {
            "phase": "Pending",
            "conditions": [{"type": "Ready", "status": "False"}],
            "containerStatuses": [{"restartCount": 3, "state": {"waiting": {"reason": reason, "message": message}}}],
        }
        self.event(pod, message)

    def not_ready(self, pod: dict[str, Any]) -> None:
        pod["status"]["conditions"] = [{"type": "Ready", "status": "False"}]

    def bundle(self) -> Bundle:
        texts = {**self.texts, **{key: json.dumps(value) for key, value in self._objects.items()}}
        return Bundle({key: text for key, text in texts.items() if key in self.texts}, self.unread)


Break = Callable[[Box], None]


def broken(*breaks: Break) -> Bundle:
    """The healthy node with faults made in it."""
    box = Box(healthy())
    for one in breaks:
        one(box)
    return box.bundle()


_RUNNING = {
    "phase": "Running",
    "conditions": [{"type": "Ready", "status": "True"}],
    "containerStatuses": [{"restartCount": 0, "state": {"running": {}}}],
}


def _pod(name: str, namespace: str, app: str, spec: Mapping[str, Any], digest: str) -> dict[str, Any]:
    return {
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {"app": app, "talos-nvidia-cdi/node": "talos05"},
            "annotations": {"talos-nvidia-cdi/spec-sha256": digest},
        },
        "spec": {"nodeName": "talos05", "tolerations": TOLERATIONS, **spec},
        "status": copy.deepcopy(_RUNNING),
    }


def _owner(kind: str, name: str, namespace: str, app: str, status: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "kind": kind,
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {"app": app, "talos-nvidia-cdi/node": "talos05"},
        },
        "spec": {"template": {"spec": {"tolerations": TOLERATIONS}}},
        "status": dict(status),
    }


@cache
def healthy() -> Bundle:
    """Talos 1.11.1 with a Quadro P2000, method spec, all as it should be."""
    installed = patch(P2000, Strategy.REAL).text
    digest = hashlib.sha256(installed.encode()).hexdigest()
    worker: dict[str, Any] = {
        "runtimeClassName": "nvidia-cdi",
        "containers": [
            {
                "name": "tdarr-node",
                "image": "ghcr.io/haveagitgat/tdarr_node@sha256:" + "1" * 64,
                "env": [
                    {"name": "NVIDIA_VISIBLE_DEVICES", "value": "all"},
                    {"name": "ffmpegVersion", "value": "6"},
                    {"name": "serverURL", "value": "http://tdarr-server.media.svc:8266"},
                ],
                "volumeMounts": [{"name": "media", "mountPath": "/media"}, {"name": "temp", "mountPath": "/temp"}],
            }
        ],
    }
    server = {
        "containers": [
            {
                "name": "tdarr",
                "image": "ghcr.io/haveagitgat/tdarr:2.73.01",
                "volumeMounts": worker["containers"][0]["volumeMounts"],
            }
        ]
    }
    pods = [
        _pod("tdarr-0", "media", "tdarr-node-gpu", worker, digest),
        _pod(
            f"{SET}-x", "kube-system", "nvidia-cdi-init", {"containers": [{"name": "installer", "image": "i"}]}, digest
        ),
        _pod("tdarr-server-0", "media", "tdarr-server", server, digest),
    ]
    objects: dict[str, Any] = {
        "meta.json": {
            "stack": "talos05",
            "node": "talos05",
            "release": "v1.11.1",
            "method": "spec",
            "hook": "auto",
            "runtime": "runtime-class",
            "runtime_class": "nvidia-cdi",
            "handler": "nvidia-cdi",
            "gpu": "Quadro P2000",
            "driver": "535.247.01",
            "namespace": "media",
            "server_url": "http://tdarr-server.media.svc:8266",
            "roles": ["os:admin"],
            "certificates": {"talosconfig": "2027-06-01T00:00:00+00:00"},
            "made": MADE,
        },
        "talos/extensions.json": {
            "nonfree-kmod-nvidia-lts": "535.247.01-v1.11.1",
            "nvidia-container-toolkit-lts": "535.247.01-v1.17.8",
            "modules.dep": "6.12.45-talos",
        },
        "talos/services.json": [
            {"id": "ext-nvidia-persistenced", "state": "Running", "healthy": None, "message": "Started"},
            {"id": "kubelet", "state": "Running", "healthy": True, "message": ""},
        ],
        "cluster/node.json": {
            "metadata": {"name": "talos05", "labels": {"node.kubernetes.io/gpu-vendor": "nvidia"}},
            "spec": {"taints": [{"key": "nvidia.com/gpu", "value": "true", "effect": "NoSchedule"}]},
            "status": {"conditions": [{"type": "Ready", "status": "True"}]},
        },
        "cluster/pods.json": {"items": pods},
        "cluster/events.json": {"items": []},
        "cluster/daemonsets.json": {
            "items": [_owner("DaemonSet", SET, "kube-system", "nvidia-cdi-init", {"desiredNumberScheduled": 1})]
        },
        "cluster/deployments.json": {
            "items": [_owner("Deployment", "tdarr-node-gpu-talos05", "media", "tdarr-node-gpu", {})]
        },
        "cluster/jobs.json": {
            "items": [
                _owner(
                    "Job",
                    "nvidia-cdi-generator-talos05",
                    "kube-system",
                    "nvidia-cdi-generator",
                    {"conditions": [{"type": "Complete", "status": "True"}]},
                )
            ]
        },
        "cluster/replicasets.json": {"items": []},
        "cluster/runtimeclasses.json": {"items": [{"metadata": {"name": "nvidia-cdi"}, "handler": "nvidia-cdi"}]},
    }
    box = Box(Bundle({key: json.dumps(value) for key, value in objects.items()}))
    box.texts |= {
        "talos/version.txt": "v1.11.1\n",
        "talos/modules.txt": MODULES,
        "talos/declared-modules.txt": MODULES,
        "talos/dmesg.txt": "NVRM: loading NVIDIA UNIX x86_64 Kernel Module  535.247.01\n",
        host("/proc/devices"): "Character devices:\n195 nvidia-frontend\n511 nvidia-uvm\n\nBlock devices:\n  7 loop\n",
        host("/proc/driver/nvidia/version"): "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.247.01  Tue\n",
        host("/proc/sys/net/core/bpf_jit_harden"): "2\n",
        host("/proc/sys/kernel/kptr_restrict"): "2\n",
        host("/usr/local/etc/nvidia-container-runtime/config.toml"): "[nvidia-container-runtime]\n",
        listing("/usr/local/bin"): "".join(f"0755 {name}\n" for name in BINARIES.split()),
        listing("/dev"): "0666 nvidia0\n0666 nvidiactl\n0666 nvidia-uvm\n0666 nvidia-uvm-tools\n0666 null\n",
        listing("/etc/cdi"): "",
        "cluster/logs/media_tdarr-0.txt": "Tdarr_Node waiting for work\n",
        f"cluster/logs/kube-system_{SET}-x.txt": "CDI spec copied successfully to /var/run/cdi/nvidia.yaml\n",
    }
    for path in facts(installed).host_paths:
        folder, _, name = path.rpartition("/")
        if folder != "/dev":
            box.texts[listing(folder)] = box.texts.get(listing(folder), "") + f"0755 {name}\n"
    box.file(SOURCE, P2000)
    box.file(INSTALLED, installed)
    box.file(PART, PART_TEXT)
    box.file(UDEV, "".join(f"{rule}\n" for rule in UDEV_RULES))
    return box.bundle()
