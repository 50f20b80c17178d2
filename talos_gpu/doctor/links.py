"""Where a source can be read: addresses of the issues, files and pages that sources name."""

from __future__ import annotations

import re
from collections.abc import Mapping

_GITHUB = "https://github.com"
_KUBERNETES = "https://kubernetes.io/docs/concepts"
_OWNERS: Mapping[str, str] = {
    "HandBrake": "HandBrake/HandBrake",
    "cozystack": "cozystack/cozystack",
    "dra-driver-nvidia-gpu": "kubernetes-sigs/dra-driver-nvidia-gpu",
    "libnvidia-container": "NVIDIA/libnvidia-container",
    "nixos-hardware": "NixOS/nixos-hardware",
    "nvidia-container-toolkit": "NVIDIA/nvidia-container-toolkit",
    "talos": "siderolabs/talos",
}
"""Repositories that sources name without their owner."""
_PAGES: Mapping[str, str] = {
    "Kubernetes, Assigning Pods to Nodes": f"{_KUBERNETES}/scheduling-eviction/assign-pod-node/",
    "Kubernetes, DaemonSet status": f"{_KUBERNETES}/workloads/controllers/daemonset/",
    "Kubernetes, Deployments": f"{_KUBERNETES}/workloads/controllers/deployment/",
    "Kubernetes, Images": f"{_KUBERNETES}/containers/images/",
    "Kubernetes, Nodes": f"{_KUBERNETES}/architecture/nodes/",
    "Kubernetes, Pod Lifecycle": f"{_KUBERNETES}/workloads/pods/pod-lifecycle/",
    "Kubernetes, Pod Security Standards": f"{_KUBERNETES}/security/pod-security-standards/",
    "Kubernetes, Runtime Class": f"{_KUBERNETES}/containers/runtime-class/",
    "Kubernetes, Taints and Tolerations": f"{_KUBERNETES}/scheduling-eviction/taint-and-toleration/",
    "CUDA driver API": "https://docs.nvidia.com/cuda/cuda-driver-api/",
    "NVML API": "https://docs.nvidia.com/deploy/nvml-api/",
    "NVIDIA, Xid errors": "https://docs.nvidia.com/deploy/xid-errors/",
}
_FILES: Mapping[str, str] = {
    "CDI": f"{_GITHUB}/cncf-tags/container-device-interface/blob/main",
    "FFmpeg": f"{_GITHUB}/FFmpeg/FFmpeg/blob/master",
    "containerd": f"{_GITHUB}/containerd/containerd/blob/main",
}
"""Projects whose files sources name by path, behind the project's name and a blank."""
_ISSUE = re.compile(r"(?P<repository>(?:[\w.-]+/)?[\w.-]+)#(?P<number>\d+)")
_CVE = re.compile(r"CVE-\d{4}-\d+")
_FILE = re.compile(rf"(?P<project>{'|'.join(_FILES)}) (?P<path>\w[\w/.-]*\.(?:go|md|c))\b")
_REPOSITORY = re.compile(r"(?<![\w/-])(?:siderolabs/(?:extensions|talos)|NVIDIA/k8s-device-plugin)(?![\w#/-])")


def links(source: str) -> tuple[str, ...]:
    """Addresses of what a check's or a known text's source names, in its order; () where it is none that has one.

    `siderolabs/extensions#940` is an issue, `CDI pkg/cdi/doc.go` a file, `Kubernetes, Images` a page.
    """
    found: dict[int, str] = {}
    for match in _ISSUE.finditer(source):
        repository = match["repository"]
        repository = repository if "/" in repository else _OWNERS[repository]
        found[match.start()] = f"{_GITHUB}/{repository}/issues/{match['number']}"
    for match in _CVE.finditer(source):
        found[match.start()] = f"https://nvd.nist.gov/vuln/detail/{match[0]}"
    for match in _FILE.finditer(source):
        found[match.start()] = f"{_FILES[match['project']]}/{match['path']}"
    for match in _REPOSITORY.finditer(source):
        found[match.start()] = f"{_GITHUB}/{match[0]}"
    for page, address in _PAGES.items():
        if page in source:
            found[source.index(page)] = address
    return tuple(dict.fromkeys(found[place] for place in sorted(found)))
