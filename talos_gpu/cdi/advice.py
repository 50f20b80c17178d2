"""What the CDI library accepts and yet does not do what was meant: no verdict, but worth saying."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from talos_gpu.cdi.model import Spec
from talos_gpu.cdi.tree import second_document

RUNTIME = "OCI runtime-spec config.md"


@dataclass(frozen=True, slots=True)
class Remark:
    """`line` starts at 1; 0 where it is about no line."""

    line: int
    rule: str
    message: str
    source: str


def remarks(text: str, spec: Spec) -> list[Remark]:
    """What should be looked at in a valid spec, in the order of the text."""
    found = [*_second(text), *_hooks(spec), *_paths(spec)]
    return sorted(found, key=lambda remark: remark.line)


def _second(text: str) -> Iterator[Remark]:
    line = second_document(text)
    if line:
        message = "a second YAML document starts here: the CDI library reads the first alone"
        yield Remark(line, "second-document", message, "sigs.k8s.io/yaml yaml.go UnmarshalStrict")


def _hooks(spec: Spec) -> Iterator[Remark]:
    for hook in spec.hooks():
        if not hook.path.startswith("/"):
            message = f"hook path {hook.path!r} is relative: a container that gets it fails to start"
            yield Remark(hook.line, "relative-hook", message, f"{RUNTIME}, POSIX-platform hooks: path is absolute")


def _paths(spec: Spec) -> Iterator[Remark]:
    for mount in spec.mounts():
        if not mount.container_path.startswith("/"):
            message = f"container path {mount.container_path!r} of a mount is relative"
            yield Remark(mount.line, "relative-mount", message, f"{RUNTIME}, mounts: destination is absolute")
    for node in spec.device_nodes():
        if not node.path.startswith("/"):
            message = f"device node path {node.path!r} is relative"
            yield Remark(node.line, "relative-device", message, f"{RUNTIME}, Linux devices: full path")
