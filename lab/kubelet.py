"""How the nodes' kubelet is configured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

CONFIGURATION: Mapping[str, Any] = {
    "apiVersion": "kubelet.config.k8s.io/v1beta1",
    "kind": "KubeletConfiguration",
    "address": "0.0.0.0",  # noqa: S104 - inside the node's own network namespace
    "authentication": {
        "anonymous": {"enabled": False},
        "webhook": {"enabled": True},
        "x509": {"clientCAFile": "/etc/kubernetes/ca.crt"},
    },
    "authorization": {"mode": "Webhook"},
    "tlsCertFile": "/etc/kubernetes/kubelet.crt",
    "tlsPrivateKeyFile": "/etc/kubernetes/kubelet.key",
    "cgroupDriver": "cgroupfs",
    "failCgroupV1": False,
    "failSwapOn": False,
    "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
    "maxOpenFiles": 20000,
    "clusterDomain": "cluster.local",
    "clusterDNS": ["10.96.0.10"],
    "resolvConf": "/etc/resolv.conf",
    "imageGCHighThresholdPercent": 100,
    "evictionHard": {"memory.available": "50Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
    "nodeStatusUpdateFrequency": "4s",
    "syncFrequency": "5s",
    "serializeImagePulls": False,
    "oomScoreAdj": 0,
    # a worker fails until the installer has put its spec back; the default of 300 s is a wait for nothing here
    "crashLoopBackOff": {"maxContainerRestartPeriod": "2s"},
    # without CAP_SYS_RESOURCE some oom_score_adj and sysctl writes are refused; this gate lets the kubelet go on
    "featureGates": {"KubeletInUserNamespace": True},
}
