"""Messages to the engine's display."""

from __future__ import annotations

import threading

import grpc
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc

from lab.engine.kubernetes import BANNER


class EngineLog:
    """The engine's diagnostics; a no-op without an engine's address."""

    def __init__(self, address: str) -> None:
        self._engine = engine_pb2_grpc.EngineStub(grpc.insecure_channel(address)) if address else None
        self._lock = threading.Lock()
        self._told = False

    def stand_in(self, urn: str) -> None:
        """Say once what this plugin is; only operations that change something call it, so previews stay clean."""
        with self._lock:
            told, self._told = self._told, True
        if not told:
            self._say(engine_pb2.INFO, urn, BANNER)

    def warning(self, urn: str, message: str) -> None:
        """A warning that stays on the screen."""
        self._say(engine_pb2.WARNING, urn, message)

    def info(self, urn: str, message: str) -> None:
        """A line that stays on the screen."""
        self._say(engine_pb2.INFO, urn, message)

    def status(self, urn: str, message: str) -> None:
        """What is going on now; replaced by the next one, never in a preview's JSON."""
        self._say(engine_pb2.INFO, urn, message, ephemeral=True)

    def _say(
        self, severity: engine_pb2.LogSeverity.ValueType, urn: str, message: str, *, ephemeral: bool = False
    ) -> None:
        if self._engine is None:
            return
        request = engine_pb2.LogRequest(severity=severity, urn=urn, message=message, ephemeral=ephemeral)
        try:
            self._engine.Log(request, timeout=5)
        except grpc.RpcError:
            return  # the engine is going away; the operation itself will say so
