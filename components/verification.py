"""The seed's verification commands, filled in for a node: what a person types after `up`."""

from __future__ import annotations

from components.cdi_init import APP
from components.cdi_spec import SPEC_TARGET
from components.names import NODE_LABEL
from talos_gpu.settings import Settings
from talos_gpu.talos.part import PART_PATH

_QUERY = "nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv"


def encode(codec: str) -> str:
    """An encode on the GPU that leaves nothing behind."""
    source = "-f lavfi -i testsrc=duration=2:size=1280x720:rate=30"
    return f"ffmpeg -hide_banner -hwaccel cuda {source} -pix_fmt yuv420p -c:v {codec} -preset fast -f null -"


def commands(settings: Settings, deployment: str | None) -> dict[str, str]:
    """Command by what it shows; `deployment` is `namespace/name` of the worker, None without one."""
    node, gpu = settings.node, settings.node.gpu
    talosctl = f"talosctl -n {node.address}"
    found = {"node": f"kubectl get node {node.name} -o wide"}
    if settings.cdi.method == "spec":
        selector = f"-n kube-system -l app={APP},{NODE_LABEL}={node.name}"
        found |= {
            "installer": f"kubectl get pods {selector}",
            "installer_log": f"kubectl logs {selector} -c installer",
            "spec": f"{talosctl} read {SPEC_TARGET}",
            "hooks": f"{talosctl} read {SPEC_TARGET} | grep nvidia-cdi-hook",
            "containerd": f"{talosctl} read {PART_PATH}",
        }
    if deployment is not None:
        namespace, _, name = deployment.partition("/")
        run = f"kubectl exec -n {namespace} deploy/{name} --"
        found |= {
            "gpu": f"{run} {_QUERY}",
            "gpu_expected": f"{gpu.model}, {gpu.driver}, {gpu.memory_mib} MiB",
            "hevc": f"{run} {encode('hevc_nvenc')}",
            "h264": f"{run} {encode('h264_nvenc')}",
        }
    return found
