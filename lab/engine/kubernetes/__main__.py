"""Start the plugin: prints its port, then serves until the engine is gone."""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
import threading
import time
import types
from concurrent.futures import ThreadPoolExecutor

import grpc

from lab.engine.kubernetes import BANNER

MAX_MESSAGE = 400 << 20
"""The engine's own limit (rpcutil.GrpcChannelOptions), bytes."""

WORKERS = 64
"""Operations at once; one that waits for readiness holds its thread."""


def messages_without_sdk() -> None:
    """Make the SDK's protocol messages importable without running the SDK itself, which takes 0.4 s a start."""
    path: list[str] = []
    for name in ("pulumi", "pulumi.runtime"):
        found = importlib.util.find_spec("pulumi") if not path else None
        path = list((found and found.submodule_search_locations) or [f"{entry}/runtime" for entry in path])
        package = types.ModuleType(name)
        package.__path__ = path
        sys.modules[name] = package


def end_with_parent(seconds: float = 1.0) -> None:
    """End this process soon after the engine is gone; a killed engine closes nothing."""
    parent = os.getppid()

    def look() -> None:
        while os.getppid() == parent:
            time.sleep(seconds)
        os._exit(1)

    threading.Thread(target=look, daemon=True, name="end-with-parent").start()


def main(arguments: list[str]) -> None:
    """Serve; the first argument that is no option is the engine's address."""
    if "--version" in arguments:
        print(BANNER)
        return
    end_with_parent()
    messages_without_sdk()
    from pulumi.runtime.proto import provider_pb2_grpc  # noqa: PLC0415

    from lab.engine.kubernetes.log import EngineLog  # noqa: PLC0415
    from lab.engine.kubernetes.provider import Provider  # noqa: PLC0415

    address = next((argument for argument in arguments if not argument.startswith("-")), "")
    limits = [("grpc.max_receive_message_length", MAX_MESSAGE), ("grpc.max_send_message_length", MAX_MESSAGE)]
    server = grpc.server(ThreadPoolExecutor(max_workers=WORKERS), options=limits)
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(Provider(EngineLog(address)), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    stop.wait()
    server.stop(0)


if __name__ == "__main__":
    main(sys.argv[1:])
