"""The generated messages are those of the .proto files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from talos_gpu.talos import client
from talos_gpu.talos.transport import Method

ROOT = Path(__file__).resolve().parents[2]
PROTO = Path("talos_gpu/talos/proto")


def test_what_is_checked_in_is_what_the_compiler_makes(tmp_path: Path) -> None:
    sources = sorted(str(path.relative_to(ROOT)) for path in (ROOT / PROTO).glob("*.proto"))
    out = [f"--python_out={tmp_path}", f"--pyi_out={tmp_path}"]
    subprocess.run([sys.executable, "-m", "grpc_tools.protoc", "-I.", *out, *sources], cwd=ROOT, check=True)
    made = {path.name: path.read_text() for path in (tmp_path / PROTO).iterdir()}
    kept = {path.name: path.read_text() for path in (ROOT / PROTO).glob("*_pb2.py*")}
    assert sorted(made) == sorted(kept)
    for name, text in made.items():
        assert kept[name] == text, f"{name} is not what protoc makes of its .proto"


@pytest.mark.parametrize("method", [value for value in vars(client).values() if isinstance(value, Method)])
def test_methods_are_those_of_the_services(method: Method) -> None:  # type: ignore[type-arg]
    _, service, name = method.path.split("/")
    file = (
        method.request.DESCRIPTOR.file
        if "google" not in method.request.DESCRIPTOR.full_name
        else method.reply.DESCRIPTOR.file
    )
    found = file.services_by_name[service.rpartition(".")[2]].methods_by_name[name]
    assert found.containing_service.full_name == service
    assert (found.input_type, found.output_type) == (method.request.DESCRIPTOR, method.reply.DESCRIPTOR)
    assert found.server_streaming == method.streams
