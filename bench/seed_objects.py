"""What the write-up that this project automates has one write: machine config, generator pod, DaemonSet, worker.

Its names, paths and settings are kept, so that the objects do what it says. Other than there: images are the lab's (it
has no registry), so nothing is installed at run time either, and the worker's manifest, which it only names, is the
stack's own in the write-up's form: no RuntimeClass, the GPU asked for by environment.
"""

from __future__ import annotations

from typing import Any

import yaml

SOURCE, TARGET = "/var/cdi/nvidia.yaml", "/var/run/cdi/nvidia.yaml"
GENERATOR, INSTALLER = "nvidia-cdi-generator", "nvidia-cdi-init"
TOOLS, WORKER = "lab.local/node-tools:1", "lab.local/tdarr-node:1"
SPEC_DIRS = ("/etc/cdi", "/var/run/cdi", "/var/cdi")
HOOK, REAL_HOOK = "/usr/local/bin/nvidia-cdi-hook", "/usr/local/bin/nvidia-cdi-hook.real"
GENERATE = f"/usr/local/bin/nvidia-ctk cdi generate --output={SOURCE}"
INTO_THE_HOST = "nsenter -t 1 -m -u -n -i"
_GPU_LABEL = {"node.kubernetes.io/gpu-vendor": "nvidia"}


def part(spec_dirs: tuple[str, ...] = SPEC_DIRS) -> str:
    """The containerd part: CDI folders, and the NVIDIA runtime as every pod's."""
    section = 'plugins."io.containerd.cri.v1.runtime"'
    folders = ", ".join(f'"{folder}"' for folder in spec_dirs)
    return (
        f"[{section}]\n  cdi_spec_dirs = [{folders}]\n"
        f'[{section}.containerd]\n  default_runtime_name = "nvidia-cdi"\n'
        f'[{section}.containerd.runtimes.nvidia-cdi]\n  runtime_type = "io.containerd.runc.v2"\n'
        f"[{section}.containerd.runtimes.nvidia-cdi.options]\n"
        '  BinaryName = "/usr/local/bin/nvidia-container-runtime.cdi"\n'
    )


def machine_config(base: str, spec_dirs: tuple[str, ...] = SPEC_DIRS) -> str:
    """The node's machine config with what the write-up has one put into it."""
    documents = list(yaml.safe_load_all(base))
    machine = documents[0]["machine"]
    machine.setdefault("kernel", {}).setdefault("modules", []).extend(
        {"name": name} for name in ("nvidia", "nvidia_uvm", "nvidia_drm", "nvidia_modeset")
    )
    drm = [f'SUBSYSTEM=="drm", KERNEL=="{node}*", GROUP="44", MODE="0660"' for node in ("renderD", "card")]
    nodes = ("nvidia", "nvidia_uvm", "nvidia-uvm-tools", "nvidia-modeset", "nvidiactl")
    rules = [*drm, *(f'KERNEL=="{node}", MODE="0666"' for node in nodes)]
    machine.setdefault("udev", {}).setdefault("rules", []).extend(rules)
    machine.setdefault("nodeLabels", {}).update(_GPU_LABEL)
    files = {"/etc/cri/conf.d/20-customization.part": part(spec_dirs), "/var/cdi/.keep": "", "/var/run/cdi/.keep": ""}
    machine.setdefault("files", []).extend(
        {"content": content, "path": path, "op": "create"} for path, content in files.items()
    )
    return yaml.safe_dump_all(documents, sort_keys=False)


def generator(node: str, *, shell_on_host: bool = True) -> dict[str, Any]:
    """The one-time pod; as written it wants a shell of the host, and says that all went well whatever happened."""
    inside = f'sh -c "mkdir -p /var/cdi && {GENERATE}"' if shell_on_host else GENERATE
    script = f"{INTO_THE_HOST} {inside}\necho CDI spec generated\n"
    container = {
        "name": "generator",
        "image": TOOLS,
        "command": ["/bin/sh", "-c", script],
        "securityContext": {"privileged": True},
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": GENERATOR, "namespace": "kube-system"},
        "spec": {
            "nodeSelector": {"kubernetes.io/hostname": node},
            "restartPolicy": "Never",
            "hostPID": True,
            "hostNetwork": True,
            "containers": [container],
        },
    }


def installer() -> dict[str, Any]:
    """The DaemonSet: an init container copies the spec into the watched folder and edits it there, once a pod."""
    labels = {"app": INSTALLER}
    script = f"""\
mkdir -p /var-run-cdi
if [ ! -f /var-cdi/nvidia.yaml ]; then
  echo "no CDI spec at {SOURCE}"
  exit 1
fi
cp /var-cdi/nvidia.yaml /var-run-cdi/
echo "copied"
sed -i 's|{HOOK}|{REAL_HOOK}|g' /var-run-cdi/nvidia.yaml
grep "^  name:" /var-run-cdi/nvidia.yaml || true
echo "patched"
"""
    copying = {
        "name": "copy-cdi-spec",
        "image": TOOLS,
        "command": ["/bin/sh", "-c", script],
        "securityContext": {"privileged": True},
        "volumeMounts": [
            {"name": "var-cdi", "mountPath": "/var-cdi", "readOnly": True},
            {"name": "var-run-cdi", "mountPath": "/var-run-cdi"},
        ],
    }
    folders = {"var-cdi": "/var/cdi", "var-run-cdi": "/var/run/cdi"}
    pod = {
        "nodeSelector": _GPU_LABEL,
        "hostPID": True,
        "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
        "initContainers": [copying],
        "containers": [
            {
                "name": "pause",
                "image": "lab.local/pause:1",
                "resources": {"requests": {"cpu": "1m", "memory": "4Mi"}},
            }
        ],
        "volumes": [
            {"name": name, "hostPath": {"path": path, "type": "DirectoryOrCreate"}} for name, path in folders.items()
        ],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": INSTALLER, "namespace": "kube-system", "labels": labels},
        "spec": {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": pod}},
    }


def worker(node: str) -> list[dict[str, Any]]:
    """Namespace and Deployment of the Tdarr worker."""
    name = f"tdarr-node-gpu-{node}"
    labels = {"app": name}
    environment = {
        "serverURL": "http://tdarr-server.media.svc:8266",
        "nodeName": name,
        "inContainer": "true",
        "NVIDIA_VISIBLE_DEVICES": "all",
        "NVIDIA_DRIVER_CAPABILITIES": "compute,video,utility",
    }
    folders = {"configs": "/app/configs", "media": "/media", "temp": "/temp"}
    pod = {
        "nodeSelector": {"kubernetes.io/hostname": node},
        "containers": [
            {
                "name": "tdarr-node",
                "image": WORKER,
                "env": [{"name": key, "value": value} for key, value in environment.items()],
                "volumeMounts": [{"name": key, "mountPath": path} for key, path in folders.items()],
            }
        ],
        "volumes": [{"name": key, "emptyDir": {}} for key in folders],
    }
    spec = {
        "replicas": 1,
        "strategy": {"type": "Recreate"},
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": pod},
    }
    metadata = {"name": name, "namespace": "media", "labels": labels}
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "media"}},
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec},
    ]
