"""The lab's containerd tier on this machine's cgroup v2: a node with its pretended GPU, the seed's three cases on it.

Run in a network namespace of its own: `unshare --net python -m gpu_proof.lab_tier BUNDLE WORK`; prints records as JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import yaml

from gpu_proof.parts import Bundle
from gpu_proof.record import Record, proven
from gpu_proof.said import PATH, tail
from lab.network import Bridge, free_subnet
from lab.nodes import PROFILE, Node, NodeNetwork
from talos_gpu.cdi import Strategy, patch

_SOURCE, _INSTALLED = "/var/cdi/nvidia.yaml", "/run/cdi/nvidia.yaml"
_IMAGE = "lab.local/node-tools:1"
_LOOK = "ls /dev/nvidia0 /usr/local/glibc/usr/lib/libcuda.so.1; nvidia-smi -L"
_MODULES = ("nvidia", "nvidia_uvm", "nvidia_drm", "nvidia_modeset")


def prove(bundle: Bundle, work: Path) -> Iterator[Record]:
    """Start the node, run the cases, end it."""
    started = time.monotonic()
    bridge = Bridge.for_lab("proof", free_subnet())
    bridge.up()
    node = _made(bundle, work, bridge)
    try:
        node.start()
        node.wait_containerd()
        seconds = time.monotonic() - started
        yield Record(
            "lab/up",
            "the lab's containerd tier starts on cgroup v2",
            "lab-node run",
            " ".join(node.run("/bin/ctr", "version").stdout.split()[:3]),
            proven(True),
            {"seconds": round(seconds, 2), "cgroup": _cgroup(node)},
        )
        node.import_image(next(bundle.layers.glob("node-tools-*.tar")))
        yield _case(
            node,
            "no-spec",
            "without a spec the device is unresolvable",
            "unresolvable CDI devices nvidia.com/gpu=all",
            1,
        )
        node.run("/usr/local/bin/nvidia-ctk", "cdi", "generate", f"--output={_SOURCE}")
        text = _seen(node, _SOURCE).read_text()
        _put(node, text)
        yield _case(
            node, "unpatched", "an unpatched spec dies in the wrapper", "wrapper: unknown command nvidia-cdi-hook", 1
        )
        _put(node, patch(text, Strategy.REAL).text)
        yield _case(
            node, "patched", "the patched spec gives the container its (pretended) GPU", "GPU 0: Quadro P2000", 0
        )
    finally:
        node.stop()
        bridge.down()
    left = [path.name for path in Path("/sys/fs/cgroup").glob("talos-lab-*")]
    yield Record(
        "lab/down", "ending it leaves no cgroup", "lab-node, SIGTERM", " ".join(left) or "none left", proven(not left)
    )


def _made(bundle: Bundle, work: Path, bridge: Bridge) -> Node:
    secrets, address = work / "talos", bridge.node_address(0)
    subprocess.run(
        [
            bundle.bin / "lab-node",
            "gen",
            "--out",
            secrets,
            "--cluster",
            "lab",
            "--endpoint",
            f"https://{bridge.gateway}:6443",
            f"--node=lab-1={address}",
        ],
        check=True,
        capture_output=True,
    )
    config = yaml.safe_load((secrets / "lab-1.yaml").read_text())
    config["machine"]["kernel"] = {"modules": [{"name": name} for name in _MODULES]}
    node = Node(
        "lab-1", work / "node", NodeNetwork(bridge, address, bridge.pod_cidr(0), ""), bundle.bin / "lab-node", "proof"
    )
    node.folder.mkdir(parents=True)
    node.prepare(
        [bundle.layers / "driver", bundle.layers / "base"], secrets / "secrets.yaml", yaml.safe_dump(config), PROFILE
    )
    return node


def _case(node: Node, name: str, claim: str, words: str, code: int) -> Record:
    command = (
        "/bin/ctr",
        "-n",
        "k8s.io",
        "run",
        "--rm",
        "--device",
        "nvidia.com/gpu=all",
        _IMAGE,
        f"proof-{name}",
        "sh",
        "-c",
        _LOOK,
    )
    said = node.run(*command, check=False)
    both = said.stdout + said.stderr
    ok = words in both and (said.returncode == 0) is (code == 0)
    return Record(f"lab/{name}", claim, " ".join(command), tail(both), proven(ok), {"exit_code": said.returncode})


def _seen(node: Node, path: str) -> Path:
    return Path(f"/proc/{node.pid}/root{path}")


def _put(node: Node, text: str) -> None:
    fresh = _seen(node, _INSTALLED).with_suffix(".tmp")
    fresh.parent.mkdir(parents=True, exist_ok=True)
    fresh.write_text(text)
    fresh.rename(_seen(node, _INSTALLED))


def _cgroup(node: Node) -> str:
    return Path(f"/proc/{node.pid}/cgroup").read_text().strip()


def _shim(bundle: Bundle, folder: Path) -> None:
    """`ip` from the lab's layer, run by that layer's own loader: this machine may have none."""
    base = bundle.layers / "base"
    libraries = f"{base}/lib/x86_64-linux-gnu:{base}/usr/lib/x86_64-linux-gnu"
    folder.mkdir(parents=True)
    (folder / "ip").write_text(
        f'#!/bin/sh\nexec {base}/lib64/ld-linux-x86-64.so.2 --library-path {libraries} {base}/usr/sbin/ip "$@"\n'
    )
    (folder / "ip").chmod(0o755)


def main() -> None:
    """See the module."""
    bundle, work = Bundle(Path(sys.argv[1])), Path(sys.argv[2])
    _shim(bundle, work / "shims")
    os.environ["PATH"] = f"{PATH}:{work / 'shims'}"
    os.environ.pop("LD_LIBRARY_PATH", None)
    for record in prove(bundle, work):
        print(json.dumps(asdict(record)), flush=True)


if __name__ == "__main__":
    main()
