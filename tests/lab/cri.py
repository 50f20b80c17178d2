"""As much of the CRI (k8s.io/cri-api runtime/v1 api.proto) as makes a container with CDI devices, and no more."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any

import grpc

from lab.nodes import Node

Field = str | int | Mapping[int, Any] | list[Any]
IMAGE = "lab.local/node-tools:1"
_NODE = 2
"""NamespaceMode NODE: the sandbox needs no network of its own."""
_numbers = itertools.count(1)


def encoded(message: Mapping[int, Field]) -> bytes:
    """A protobuf message by field numbers: text, unsigned numbers, messages and lists of those."""
    return b"".join(_field(number, value) for number, value in message.items())


def _field(number: int, value: Field) -> bytes:
    if isinstance(value, list):
        return b"".join(_field(number, item) for item in value)
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    data = value.encode() if isinstance(value, str) else encoded(value)
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    return bytes((*found, value))


class Cri:
    """A pod sandbox on the node's containerd, in which containers are made; none is started."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._channel = grpc.insecure_channel(f"unix:/proc/{node.pid}/root/run/containerd/containerd.sock")

    def __enter__(self) -> Cri:
        number = next(_numbers)
        self._pod = {
            1: {1: f"resolve-{number}", 2: f"uid-{number}", 3: "default"},
            8: {2: {1: {1: _NODE}}},
        }
        self._sandbox = self._call("RunPodSandbox", {1: self._pod})
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            for name in ("StopPodSandbox", "RemovePodSandbox"):
                self._call(name, {1: self._sandbox})
        finally:
            self._channel.close()

    @contextmanager
    def container(self, device: str) -> Iterator[dict[str, Any]]:
        """The OCI spec of a container that asks for a CDI device. Raises grpc.RpcError with containerd's words."""
        config = {1: {1: f"c{next(_numbers)}"}, 2: {1: IMAGE}, 3: ["/bin/true"], 17: [{1: device}]}
        made = self._call("CreateContainer", {1: self._sandbox, 2: config, 3: self._pod})
        try:
            info = self._node.run("/bin/ctr", "-n", "k8s.io", "containers", "info", made).stdout
            yield json.loads(info)["Spec"]
        finally:
            self._call("RemoveContainer", {1: made})

    def _call(self, name: str, request: Mapping[int, Field]) -> str:
        """The id that is the answer's first field, "" where it has none."""
        method = self._channel.unary_unary(f"/runtime.v1.RuntimeService/{name}", encoded, bytes)
        answer = method(request, timeout=30)
        return answer[2 : 2 + answer[1]].decode() if answer else ""
