"""The real server of dynamic providers, `python -m pulumi.dynamic`, as the engine drives it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import grpc
from google.protobuf.json_format import MessageToDict
from google.protobuf.struct_pb2 import Struct
from pulumi.runtime.proto import provider_pb2 as messages
from pulumi.runtime.proto.provider_pb2_grpc import ResourceProviderStub

PROJECT = Path(__file__).parents[2]
Props = dict[str, Any]


def struct(values: Mapping[str, Any]) -> Struct:
    """Properties as they go over the wire: every number a double."""
    found = Struct()
    found.update(values)
    return found


def props(found: Struct) -> Props:
    """Properties as they come back."""
    values: Props = MessageToDict(found)
    return values


class Plugin:
    """The running server."""

    def __init__(self, config: Mapping[str, str], log: Path) -> None:
        self._config, self._log = config, log

    def __enter__(self) -> Plugin:
        with self._log.open("wb") as log:
            command = [sys.executable, "-u", "-m", "pulumi.dynamic"]
            environment = {key: value for key, value in os.environ.items() if key != "TALOSCONFIG"}
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, cwd=PROJECT, env=environment)
        assert self.process.stdout is not None
        port = int(self.process.stdout.readline())
        self._channel = grpc.insecure_channel(f"127.0.0.1:{port}")
        self._stub = ResourceProviderStub(self._channel)
        self._stub.Configure(messages.ConfigureRequest(args=struct(self._config)), timeout=30)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.end()

    def end(self) -> str:
        """End the server; what it wrote, standard output and errors."""
        if self.process.poll() is None:
            self._channel.close()
            self.process.terminate()
            out, _ = self.process.communicate(timeout=30)
            self._said = out.decode()
        return self._said + self._log.read_text()

    def descriptors(self) -> int:
        """How many files and sockets the server has open."""
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))  # noqa: PTH208 (a count)

    def create(self, inputs: Props) -> Props:
        answer = self._stub.Create(messages.CreateRequest(properties=struct(inputs)), timeout=60)
        return props(answer.properties)

    def diff(self, olds: Props, news: Props) -> tuple[str, list[str]]:
        """(`DIFF_NONE`, `DIFF_SOME` or `DIFF_UNKNOWN`, what is replaced for)."""
        answer = self._stub.Diff(messages.DiffRequest(id="id", olds=struct(olds), news=struct(news)), timeout=60)
        return messages.DiffResponse.DiffChanges.Name(answer.changes), list(answer.replaces)

    def read(self, outputs: Props, inputs: Props) -> tuple[Props, Props]:
        """Outputs and inputs after a refresh."""
        request = messages.ReadRequest(id="id", properties=struct(outputs), inputs=struct(inputs))
        answer = self._stub.Read(request, timeout=60)
        return props(answer.properties), props(answer.inputs)

    def update(self, olds: Props, news: Props) -> Props:
        answer = self._stub.Update(messages.UpdateRequest(id="id", olds=struct(olds), news=struct(news)), timeout=60)
        return props(answer.properties)

    def delete(self, outputs: Props) -> None:
        self._stub.Delete(messages.DeleteRequest(id="id", properties=struct(outputs)), timeout=60)
