"""`talos-gpu cdi --from-node STACK`, against a Talos API with files and folders."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from talos_gpu.talos.facts import EXTENSIONS, SBOM_ITEMS
from tests.cdi.command import HEAD, ROOT, Done, Run
from tests.cdi.served import INSTALLED, SOURCE, UUID, node_of, served
from tests.talos.fake_talos import ADDRESS, Node
from tests.talos.pki import Authority, talosconfig

GPU = "/proc/driver/nvidia/gpus/0000:01:00.0/information"


@pytest.fixture
def node(real_spec: str) -> Node:
    """The seed's node, as its generated spec has it."""
    return node_of(real_spec)


@pytest.fixture
def stack(node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project folder with Pulumi.one.yaml, whose node is served."""
    authority = Authority()
    config = tmp_path / "talosconfig"
    config.write_text(talosconfig(authority, authority.client("os:admin")))
    monkeypatch.setenv("TALOSCONFIG", str(config))
    with served(authority, node) as [port]:
        settings = {
            "node": {
                "name": "one",
                "address": ADDRESS,
                "endpoint": f"{ADDRESS}:{port}",
                "talos": "v1.11.1",
                "gpu": {"model": "Quadro P2000", "driver": "535.247.01", "memory_mib": 5120},
            },
            "machine": {"base": "worker.yaml"},
            "cdi": {"method": "jit"},
        }
        prefixed = {f"talos-nvidia-cdi:{key}": value for key, value in settings.items()}
        (tmp_path / "Pulumi.one.yaml").write_text(yaml.safe_dump({"config": prefixed}))
        yield tmp_path


def test_a_fresh_spec_of_a_node(run: Run, stack: Path) -> None:
    assert run("validate", "--from-node", "one", "--project", stack) == Done(0, f"one:{SOURCE}: ok\n", "")


def test_what_moved_on_the_node_is_found(run: Run, stack: Path, node: Node) -> None:
    node.files["/proc/driver/nvidia/version"] = node.files["/proc/driver/nvidia/version"].replace(b"247.01", b"261.03")
    del node.files["/dev/nvidia-uvm"]
    done = run("validate", "--from-node", "one", "--project", stack, "--json")
    assert done.code == 1
    [found] = done.json["specs"]
    assert found["accepted"]
    assert [(finding["check"], finding["breaks"]) for finding in found["stale"]] == [
        ("driver-version", True),
        ("device-node-missing", True),
    ]


def test_majors_that_a_reboot_moved_are_told_as_the_page_shows(
    run: Run, stack: Path, node: Node, fixtures: Path
) -> None:
    """Toolkit 1.19 and later write majors; this is docs/cdi.md's node."""
    other = node_of((fixtures / "cdi/h100-580/toolkit-1.20.0.yaml").read_text(), "580.159.04")
    other.files[GPU] = other.files[GPU].replace(UUID.encode(), b"GPU-0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0")
    other.resources[EXTENSIONS, "1"] = {
        "metadata": {"name": "nvidia-container-toolkit-production", "version": "580.159.04-v1.20.0"}
    }
    node.files, node.resources = other.files, other.resources
    (stack / "Pulumi.one.yaml").rename(stack / "Pulumi.talos05.yaml")
    words = "validate --from-node talos05"
    done = run(*words.split(), "--project", stack)
    page = (ROOT / "docs/cdi.md").read_text()
    assert (done.code, done.err) == (1, "")
    assert f"```console\n$ talos-gpu cdi {words}\n{done.out}```\n" in page, done.out


def test_the_nodes_containerd_decides_the_library(run: Run, stack: Path, node: Node) -> None:
    node.files[SOURCE] = node.files[SOURCE].replace(b"cdiVersion: 0.5.0", b"cdiVersion: 1.1.0")
    assert run("validate", "--from-node", "one", "--project", stack).code == 1
    node.resources[SBOM_ITEMS, "containerd"] = {"version": "v2.2.1"}
    assert run("validate", "--from-node", "one", "--project", stack).code == 0


def test_patch_diff_and_show_read_the_node(run: Run, stack: Path, tmp_path: Path, real_spec: str) -> None:
    local = tmp_path / "local.yaml"
    local.write_text(real_spec)
    from_node = ("--from-node", "one", "--project", stack)
    assert run("patch", *from_node).out.count("nvidia-cdi-hook.real\n") == 10
    assert run("diff", local, *from_node) == Done(0, "", "")
    assert run("show", *from_node).out == run("show", local).out
    missing = run("show", *from_node, "--path", INSTALLED)
    assert missing == Done(
        2,
        "",
        f"talos-gpu: {INSTALLED} on the node of one: there is no such file\n"
        "  remedy: name another with --path, or make it: pulumi up\n",
    )


def test_resolve_on_the_node(run: Run, stack: Path, node: Node) -> None:
    node.files |= {
        "/etc/cdi/own.yaml": HEAD.encode(),
        "/etc/cdi/old.yml": HEAD.encode(),
        INSTALLED: HEAD.encode(),
        "/var/run/cdi/deeper/x.yaml": HEAD.encode(),
    }
    assert run("resolve", "--from-node", "one", "--project", stack) == Done(
        1,
        "ignored /etc/cdi/old.yml: CDI reads only names that end in .yaml or .json, this one ends in .yml; rename it "
        "to end in .yaml\n"
        f"nvidia.com/gpu=all from {INSTALLED} (shadows /etc/cdi/own.yaml)\n",
        "",
    )


def test_a_stack_that_is_not_there(run: Run, tmp_path: Path) -> None:
    done = run("show", "--from-node", "two", "--project", tmp_path)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f"talos-gpu: there is no stack file {tmp_path}/Pulumi.two.yaml\n")
