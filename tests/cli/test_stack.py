"""`talos-gpu stack new`: from flags, from a node as os:reader sees it, from questions."""

from __future__ import annotations

import asyncio
import io
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from talos_gpu.cli import main
from talos_gpu.settings.stack_file import stack_settings
from talos_gpu.stack_new.look import NODENAMES, PCI_DEVICES
from talos_gpu.talos.facts import EXTENSIONS, LOADED_MODULES
from tests.talos.fake_talos import ADDRESS, Node, serving
from tests.talos.pki import Authority, elsewhere, talosconfig

Command = Callable[..., tuple[int, str, str]]
FLAGS = [
    "--offline",
    "--no-ask",
    "--node",
    "talos05",
    "--address",
    "192.168.1.194",
    "--talos",
    "v1.11.1",
    "--driver",
    "535.247.01",
    "--memory-mib",
    "5120",
    "--base",
    "base.yaml",
]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Command:
    def run(*words: str, answers: str = "") -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["talos-gpu", "stack", "new", *words, "--project", str(tmp_path)])
        monkeypatch.setattr(sys, "stdin", io.StringIO(answers))
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return run


@contextmanager
def node_of(tmp_path: Path, role: str) -> Iterator[tuple[str, Path]]:
    """A node with one NVIDIA card; its endpoint, and a talosconfig of that role."""
    authority = Authority()
    config = tmp_path / "talosconfig"
    config.write_text(talosconfig(authority, authority.client(role)))
    node = Node(files={"/proc/driver/nvidia/version": b"NVRM version: NVIDIA UNIX x86_64 Kernel Module  999.99.99\n"})
    node.resources |= {
        (PCI_DEVICES, "0000:01:00.0"): {
            "class_id": "0x03",
            "vendor_id": "0x10de",
            "product": "GP106GL [Quadro P2000]",
        },
        (PCI_DEVICES, "0000:01:00.1"): {"class_id": "0x04", "vendor_id": "0x10de", "product": "GP106 Audio"},
        (PCI_DEVICES, "0000:00:02.0"): {"class_id": "0x03", "vendor_id": "0x8086", "product": "UHD [Graphics 630]"},
        (NODENAMES, "nodename"): {"nodename": "talos05"},
        (EXTENSIONS, "0"): {
            "metadata": {"name": "nonfree-kmod-nvidia-lts", "version": "535.247.01-v1.11.1"},
        },
        (LOADED_MODULES, "nvidia"): {},
    }
    loop, port, ready, done = asyncio.new_event_loop(), [0], threading.Event(), asyncio.Event()

    async def serve() -> None:
        async with serving(node, authority) as served:
            port[0] = served
            ready.set()
            await done.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    assert ready.wait(60)
    try:
        yield f"{ADDRESS}:{port[0]}", config
    finally:
        loop.call_soon_threadsafe(done.set)
        thread.join()
        loop.close()


@pytest.mark.parametrize("name", ["../x", "a b", "", "x" * 101, "a/b"])
def test_a_name_that_pulumi_would_not_take_is_refused_before_anything_is_asked(command: Command, name: str) -> None:
    code, out, err = command(name)
    assert (code, out) == (2, "")
    assert f"{name!r} is no name of a stack: letters, digits" in err


def test_a_project_that_is_not_there_is_refused_before_anything_is_asked(command: Command, tmp_path: Path) -> None:
    tmp_path.rmdir()
    code, _, err = command("talos05")
    tmp_path.mkdir()
    assert code == 2
    assert f"{tmp_path} is no folder" in err


def test_flags_alone_make_a_valid_file_and_a_second_is_refused(command: Command, tmp_path: Path) -> None:
    code, out, err = command("talos05", *FLAGS, "--gpu", "Quadro P2000")
    assert (code, err) == (
        0,
        (
            "cdi.method: jit-cdi on Talos 1.11, because the spec is made in memory at each container's start: nothing "
            "to generate, patch or keep; --method takes another: spec, sysctl\n"
        ),
    )
    path = tmp_path / "Pulumi.talos05.yaml"
    assert path.read_text() == (
        """\
# yaml-language-server: $schema=schemas/stack.json
config:
  talos-nvidia-cdi:node:
    name: talos05
    address: 192.168.1.194
    talos: v1.11.1
    gpu:
      model: Quadro P2000
      driver: 535.247.01
      memory_mib: 5120
  talos-nvidia-cdi:machine:
    base: base.yaml
    reboot: allow
  talos-nvidia-cdi:cdi:
    method: jit-cdi
"""
    )
    assert out.startswith(f"wrote {path}; next: talos-gpu images pin talos05;")
    assert stack_settings(path).tdarr is None
    code, _, err = command("talos05", *FLAGS, "--gpu", "x")
    assert code == 2
    assert f"{path} is there already" in err
    assert command("talos05", *FLAGS, "--gpu", "x", "--force")[0] == 0


def test_what_is_missing_and_what_is_wrong_is_named_and_nothing_is_written(command: Command, tmp_path: Path) -> None:
    code, _, err = command("talos05", *FLAGS[:2], "--talos", "v1.11.1")
    assert code == 2
    assert "not known: node, address, gpu, driver, memory_mib, base" in err
    assert "remedy: say --node, --address, --gpu, --driver, --memory-mib, --base, or --ask" in err
    code, _, err = command("talos05", *FLAGS, "--gpu", "x", "--driver", "latest", "--address", "nowhere")
    assert code == 2
    assert "node.address" in err
    assert "node.gpu.driver" in err
    assert not list(tmp_path.glob("Pulumi.*"))


def test_the_node_itself_tells_a_reader_what_it_can(command: Command, tmp_path: Path) -> None:
    with node_of(tmp_path, "os:reader") as (endpoint, config):
        where = ["--address", ADDRESS, "--endpoint", endpoint, "--talosconfig", str(config)]
        code, _, err = command("one", "--no-ask", *where, "--memory-mib", "5120", "--base", "base.yaml")
    assert code == 0, err
    found = stack_settings(tmp_path / "Pulumi.one.yaml")
    assert found.node.name == "talos05"
    assert found.node.talos == "v1.11.1"
    # /proc is for os:admin: the driver is the loaded module's extension's
    assert (found.node.gpu.model, found.node.gpu.driver) == ("Quadro P2000", "535.247.01")
    assert "extensions: nonfree-kmod-nvidia-lts 535.247.01-v1.11.1" in err
    assert "GPUs: Quadro P2000" in err


def test_the_named_context_looks_and_is_written(command: Command, tmp_path: Path) -> None:
    with node_of(tmp_path, "os:reader") as (endpoint, config):
        config.write_text(elsewhere(config.read_text()))
        where = ["--address", ADDRESS, "--endpoint", endpoint, "--talosconfig", str(config), "--context", "lab"]
        code, _, err = command("one", "--no-ask", *where, "--memory-mib", "5120", "--base", "base.yaml")
    assert code == 0, err
    assert stack_settings(tmp_path / "Pulumi.one.yaml").talos_context == "lab"


def test_questions_are_asked_for_the_rest(command: Command, tmp_path: Path) -> None:
    answers = "http://tdarr-server.media.svc:8266\nQuadro P2000\nlab.local/tdarr-node:1\n"
    code, _, err = command("talos05", *(word for word in FLAGS if word != "--no-ask"), answers=answers)
    assert code == 0, err
    found = stack_settings(tmp_path / "Pulumi.talos05.yaml")
    assert found.tdarr is not None
    assert found.tdarr.server_url == "http://tdarr-server.media.svc:8266"
    assert found.node.gpu.model == "Quadro P2000"
    assert "URL of the Tdarr server (- for none: the GPU alone)" in err


@pytest.mark.parametrize(
    ("said", "method"), [("spec", "spec"), ("jit", "jit"), ("jit-cdi", "jit"), ("sysctl", "sysctl")]
)
def test_another_method_may_be_chosen(command: Command, tmp_path: Path, said: str, method: str) -> None:
    assert command("one", *FLAGS, "--gpu", "x", "--method", said)[0] == 0
    assert stack_settings(tmp_path / "Pulumi.one.yaml").cdi.method == method


@pytest.mark.parametrize(
    ("said", "words"), [("native", "method native does not fit Talos 1.11"), ("jit_cdi", "'jit_cdi' is none of spec")]
)
def test_a_method_that_does_not_fit_is_refused(command: Command, tmp_path: Path, said: str, words: str) -> None:
    code, _, err = command("one", *FLAGS, "--gpu", "x", "--method", said)
    assert code == 2
    assert words in err
    assert not list(tmp_path.glob("Pulumi.*"))


def test_a_release_with_its_own_spec_gets_the_native_method(command: Command, tmp_path: Path) -> None:
    words = [word if word != "v1.11.1" else "v1.13.0" for word in FLAGS]
    assert command("new", *words, "--gpu", "x")[0] == 0
    assert stack_settings(tmp_path / "Pulumi.new.yaml").cdi.method == "native"
    words = [word if word != "v1.11.1" else "v9.0.0" for word in FLAGS]
    code, _, err = command("newer", *words, "--gpu", "x")
    assert code == 2
    assert "v9.0.0" in err
