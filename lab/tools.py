"""What programs the lab is made of, and how each is built.

Upstream programs are ordinary Go module dependencies with pinned versions (lab/upstream/*/go.mod); our own Go programs
are built the same way (lab/toolchain.py).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lab.paths import PROJECT

KUBERNETES, CONTAINERD, RUNC, TOOLKIT, PULUMI = "1.36.3", "2.1.4", "1.3.0", "1.17.8", "3.259.0"


@dataclass(frozen=True, slots=True)
class Tool:
    """One `go build`: a module folder, the packages to build, and how a fitting program on PATH answers."""

    name: str
    version: str
    module: str
    packages: tuple[str, ...]
    programs: tuple[str, ...]
    ldflags: str = "-s -w"
    tags: str = ""
    cgo: bool = False
    flags: tuple[str, ...] = ()
    probe: tuple[str, ...] = ()
    """A command whose output holds `version` when the system's own program fits; empty: always built."""

    @property
    def folder(self) -> Path:
        """The module's folder in the checkout."""
        return PROJECT / "lab" / self.module

    def key(self) -> str:
        """Name, version and a digest of everything that goes into the build."""
        digest = hashlib.sha256(repr((self.packages, self.ldflags, self.tags, self.cgo, self.flags)).encode())
        for path in sorted(self._sources()):
            digest.update(path.relative_to(self.folder).as_posix().encode() + b"\0" + path.read_bytes())
        return f"{self.name}-{self.version}-{digest.hexdigest()[:12]}"

    def _sources(self) -> Iterator[Path]:
        for path in self.folder.rglob("*"):
            counts = path.suffix in {".go", ".mod", ".sum"}
            if path.is_file() and counts and not path.name.endswith("_test.go"):
                yield path


def _kubernetes_ldflags() -> str:
    major, minor, _ = KUBERNETES.split(".")
    stamp = {
        "gitVersion": f"v{KUBERNETES}",
        "gitMajor": major,
        "gitMinor": minor,
        "gitCommit": "0" * 40,
        "gitTreeState": "clean",
        "buildDate": "2026-07-01T00:00:00Z",
    }
    packages = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
    return " ".join(["-s -w", *(f"-X {p}.{k}={v}" for p in packages for k, v in stamp.items())])


_TOOLKIT = "github.com/NVIDIA/nvidia-container-toolkit"
_KUBE = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kubectl")
_CONTAINERD = ("containerd", "containerd-shim-runc-v2", "ctr")
_NVIDIA = (
    "nvidia-cdi-hook",
    "nvidia-container-runtime",
    "nvidia-container-runtime-hook",
    "nvidia-container-runtime.cdi",
    "nvidia-ctk",
)


def _toolkit(release: str, module: str, programs: tuple[str, ...]) -> Tool:
    return Tool(
        "nvidia-container-toolkit",
        release,
        module,
        tuple(f"{_TOOLKIT}/cmd/{p}" for p in programs),
        programs,
        ldflags=f"-s -w -X {_TOOLKIT}/internal/info.version={release} '-extldflags=-Wl,--export-dynamic"
        " -Wl,--unresolved-symbols=ignore-in-object-files -Wl,-z,lazy'",
        cgo=True,
    )


NODE_TOOLS = (
    Tool(
        "lab-node",
        "0.1.0",
        "node",
        ("./cmd/lab-node", "./cmd/nvidia-container-runtime-wrapper"),
        ("lab-node", "nvidia-container-runtime-wrapper"),
    ),
    Tool(
        "containerd",
        CONTAINERD,
        "upstream/containerd",
        tuple(f"github.com/containerd/containerd/v2/cmd/{p}" for p in _CONTAINERD),
        _CONTAINERD,
        ldflags=f"-s -w -X github.com/containerd/containerd/v2/version.Version=v{CONTAINERD}",
        tags="no_btrfs no_zfs no_devmapper no_aufs",
        probe=("containerd", "--version"),
    ),
    Tool(
        "runc",
        RUNC,
        "upstream/runc",
        ("github.com/opencontainers/runc",),
        ("runc",),
        ldflags=f"-s -w -X main.version={RUNC} -extldflags -static",
        tags="seccomp urfave_cli_no_docs netgo osusergo",
        cgo=True,
    ),
    _toolkit(TOOLKIT, "upstream/nvidia", _NVIDIA),
)
"""The containerd tier: a node that runs containers with CDI, without a cluster."""

NODE_113 = Tool(
    "lab-node-1.13",
    "0.1.0",
    "node",
    ("./cmd/lab-node",),
    ("lab-node",),
    tags="talos113",
    flags=("-modfile=talos-1.13.mod",),
)
"""The same node on Talos's machinery 1.13.9, for nodes of 1.13 and later. No first `up` needs it: see `built`."""

LATER_TOOLKITS = tuple(
    _toolkit(release, f"upstream/nvidia-{release.rpartition('.')[0]}", ("nvidia-cdi-hook", "nvidia-ctk"))
    for release in ("1.18.2", "1.19.1", "1.20.0")
)
"""Later makers of specs. Their programs are called as the lab's own, so `ensure` never links them: see `built`."""

CLUSTER_TOOLS = (
    Tool(
        "kubernetes",
        KUBERNETES,
        "upstream/kubernetes",
        tuple(f"k8s.io/kubernetes/cmd/{p}" for p in _KUBE),
        _KUBE,
        ldflags=_kubernetes_ldflags(),
        flags=("-pgo=off",),
        probe=("kubelet", "--version"),
    ),
    Tool("device-plugin", "0.1.0", "deviceplugin", (".",), ("device-plugin",)),
)

ENGINE_TOOLS = (
    Tool(
        "pulumi",
        PULUMI,
        "upstream/pulumi",
        ("github.com/pulumi/pulumi/pkg/v3/cmd/pulumi",),
        ("pulumi",),
        ldflags=f"-s -w -X github.com/pulumi/pulumi/sdk/v3/go/common/version.Version=v{PULUMI}",
    ),
    Tool(
        "pulumi-language-python",
        "0.1.0",
        "engine/langhost",
        ("./cmd/pulumi-language-python",),
        ("pulumi-language-python",),
    ),
    Tool(
        "pulumi-resource-talos", "0.8.1", "engine/talos", ("./cmd/pulumi-resource-talos",), ("pulumi-resource-talos",)
    ),
)

ALL_TOOLS = (*NODE_TOOLS, *ENGINE_TOOLS, *CLUSTER_TOOLS)
