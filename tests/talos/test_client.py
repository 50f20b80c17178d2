"""The machine API client against a node that speaks its protocol: chunks, roles, failures."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import pytest

from talos_gpu.talos.client import MachineClient
from talos_gpu.talos.errors import (
    CallFailed,
    DeadlineExceeded,
    ForwardingRefused,
    InvalidConfig,
    NotFound,
    PermissionDenied,
    Unreachable,
)
from talos_gpu.talos.messages import ApplyMode
from talos_gpu.talos.proto import machine_pb2
from tests.talos.asking import ask, refusal
from tests.talos.fake_talos import ADDRESS, Node

MACHINE_CONFIGS = "MachineConfigs.config.talos.dev"


def test_the_version_is_read() -> None:
    version = ask(Node(), lambda client: client.version())
    assert (version.tag, version.arch, version.platform) == ("v1.11.1", "amd64", "metal")


@pytest.mark.parametrize("size", [0, 1, 64 * 1024, 200_000])
def test_a_file_in_chunks_is_joined(size: int) -> None:
    content = os.urandom(size)
    assert ask(Node(files={"/var/x": content}), lambda client: client.read("/var/x")) == content


def test_a_message_larger_than_the_flow_control_window_arrives() -> None:
    content = bytes(9 * 2**20)
    node = Node(files={"/var/x": content}, chunk=len(content))
    assert ask(node, lambda client: client.read("/var/x")) == content


def test_a_message_over_talos_limit_is_refused() -> None:
    node = Node(files={"/var/x": bytes(33 * 2**20)}, chunk=33 * 2**20)
    assert "RESOURCE_EXHAUSTED" in refusal(CallFailed, node, lambda client: client.read("/var/x"), seconds=20)


def test_one_connection_serves_concurrent_calls() -> None:
    async def twenty(client: MachineClient) -> set[str]:
        return {version.tag for version in await asyncio.gather(*(client.version() for _ in range(20)))}

    node = Node(delay=3.0)
    assert ask(node, twenty, seconds=30) == {"v1.11.1"}
    assert node.most_waiting == 20


def test_a_missing_file_is_not_found() -> None:
    assert refusal(NotFound, Node(), lambda client: client.read("/var/no")) == (
        "Read on 127.0.0.1: stat /var/no: no such file or directory"
    )


def test_a_reader_is_told_which_role_reading_a_file_needs() -> None:
    assert refusal(PermissionDenied, Node(), lambda client: client.read("/etc/os-release"), role="os:reader") == (
        "Read on 127.0.0.1: needs role os:admin, the certificate has os:reader\n"
        "  remedy: use a talosconfig with os:admin (talosctl config new --roles os:admin)"
    )


@pytest.mark.parametrize("role", ["os:reader", "os:operator"])
def test_a_sensitive_resource_is_told_to_need_admin(role: str) -> None:
    text = refusal(PermissionDenied, Node(), lambda client: client.resource_get(MACHINE_CONFIGS, "v1alpha1"), role=role)
    assert text.startswith(f"Get on 127.0.0.1: needs role os:admin, the certificate has {role}")


def test_an_operator_may_reboot_and_a_reader_may_not() -> None:
    node = Node()
    ask(node, lambda client: client.reboot(), role="os:operator")
    assert node.calls == ["reboot"]
    assert "needs role os:operator" in refusal(PermissionDenied, Node(), lambda c: c.reboot(), role="os:reader")


def test_a_denial_that_is_not_about_roles_is_not_called_one() -> None:
    node = Node()
    node.files["/x"] = b""
    text = refusal(ForwardingRefused, node, lambda client: client.read("/x"), target="10.0.0.9")
    assert "does not forward requests (a worker's API answers for itself only)" in text
    assert "remedy: use a control-plane node as the endpoint, or the node's own address" in text


def test_node_metadata_is_sent_only_for_another_node() -> None:
    node = Node()
    ask(node, lambda client: client.version(), target=ADDRESS)
    ask(node, lambda client: client.version())
    assert node.metadata == [None, None]
    refusal(ForwardingRefused, node, lambda client: client.version(), target="10.0.0.9")
    assert node.metadata[2:] == ["10.0.0.9"]


def test_an_error_in_band_is_raised() -> None:
    node = Node(in_band="rpc error: code = Unknown desc = open /x: no such file or directory")
    assert "no such file or directory" in refusal(NotFound, node, lambda client: client.version())
    node = Node(in_band="boom", files={"/x": b"half"})
    assert refusal(CallFailed, node, lambda client: client.read("/x")) == "Read on 127.0.0.1: UNKNOWN: boom"


def test_a_stream_that_breaks_off_is_an_error_and_not_a_short_file() -> None:
    node = Node(files={"/x": bytes(300_000)}, cut_after=2)
    assert refusal(Unreachable, node, lambda client: client.read("/x")).startswith("Read on 127.0.0.1: connection lost")
    assert node.calls == ["read"] * 3


def test_unavailable_is_retried_for_reads_and_never_for_changes() -> None:
    node = Node(unavailable=2)
    assert ask(node, lambda client: client.version()).tag == "v1.11.1"
    assert node.calls == ["version"] * 3
    node = Node(unavailable=1)
    refusal(Unreachable, node, lambda client: client.apply_configuration("version: v1alpha1"))
    assert node.calls == ["apply"]


def test_no_answer_ends_at_the_deadline() -> None:
    before = time.monotonic()
    text = refusal(DeadlineExceeded, Node(delay=600), lambda client: client.version(), seconds=2)
    assert text.startswith("Version on 127.0.0.1: no answer within 2 s\n")
    assert time.monotonic() - before < 60


def test_a_failed_call_leaves_the_callers_task_uncancelled() -> None:
    async def then_a_group(client: MachineClient) -> int:
        with pytest.raises(Unreachable):
            await client.read("/x")
        task = asyncio.current_task()
        assert task is not None
        return task.cancelling()

    assert ask(Node(files={"/x": bytes(300_000)}, cut_after=1), then_a_group) == 0


def test_applying_says_what_the_node_decided_and_hides_secrets() -> None:
    node = Node()
    result = ask(node, lambda client: client.apply_configuration("version: v1alpha1", ApplyMode.AUTO, dry_run=True))
    assert result.reboots
    assert result.warnings == ("machine.files is deprecated",)
    assert result.details == "Applied configuration with a reboot\n+  token: (redacted)\n"
    [request] = node.applied
    assert request.dry_run
    assert request.mode == machine_pb2.ApplyConfigurationRequest.Mode.AUTO
    assert request.data == b"version: v1alpha1"


def test_a_refused_config_is_the_nodes_own_text_without_secrets() -> None:
    node = Node(refuses_config="this config change can't be applied in immediate mode\ndiff:\n-    key: c2VjcmV0\n")
    assert refusal(InvalidConfig, node, lambda client: client.apply_configuration("x", ApplyMode.NO_REBOOT)) == (
        "ApplyConfiguration on 127.0.0.1: this config change can't be applied in immediate mode\n"
        "diff:\n-    key: (redacted)\n\n"
        "  remedy: mend the machine config as the node's text says"
    )


def test_a_folder_keeps_the_entries_that_could_not_be_read() -> None:
    folder = [
        machine_pb2.FileInfo(name="/var/cdi", relative_name=".", is_dir=True),
        machine_pb2.FileInfo(name="/var/cdi/nvidia.yaml", relative_name="nvidia.yaml", size=9),
        machine_pb2.FileInfo(name="/var/cdi/broken", relative_name="broken", error="lstat: input/output error"),
    ]
    entries = ask(Node(folder=folder), lambda client: client.list("/var/cdi"), role="os:reader")
    assert [(entry.name, entry.size, entry.error) for entry in entries] == [
        ("broken", 0, "lstat: input/output error"),
        ("nvidia.yaml", 9, ""),
    ]


def test_a_missing_folder_is_not_found() -> None:
    folder = [machine_pb2.FileInfo(name="/var/cdi", relative_name="/var/cdi", error="lstat: no such file or directory")]
    refusal(NotFound, Node(folder=folder), lambda client: client.list("/var/cdi"))


def test_services_without_a_health_check_are_not_called_unhealthy() -> None:
    health = machine_pb2.ServiceHealth
    services = [
        machine_pb2.ServiceInfo(id="cri", state="Running", health=health(healthy=True)),
        machine_pb2.ServiceInfo(id="ext-nvidia-persistenced", state="Running", health=health(unknown=True)),
        machine_pb2.ServiceInfo(id="kubelet", state="Running", health=health(healthy=False, last_message="refused")),
        machine_pb2.ServiceInfo(id="ext-x", state="Waiting", health=health(unknown=True)),
    ]
    found = ask(Node(services=services), lambda client: client.services())
    assert [(service.id, service.healthy, service.settled) for service in found] == [
        ("cri", True, True),
        ("ext-nvidia-persistenced", None, True),
        ("kubelet", False, False),
        ("ext-x", None, False),
    ]


def test_the_kernel_log_is_lines() -> None:
    assert ask(Node(), lambda client: client.dmesg()) == "kern: info: one\nkern: info: two\n"


def test_resources_are_read_as_mappings() -> None:
    kind = "MachineStatuses.runtime.talos.dev"
    node = Node(resources={(kind, "machine"): {"stage": "running", "status": {"ready": True}}})
    resource = ask(node, lambda client: client.resource_get(kind, "machine"), role="os:reader")
    assert (resource.id, resource.spec["status"]["ready"]) == ("machine", True)
    assert [item.id for item in ask(node, lambda client: client.resource_list(kind))] == ["machine"]
    refusal(NotFound, node, lambda client: client.resource_get(kind, "other"))


def test_a_thousand_calls_leave_no_descriptor_or_task() -> None:
    async def many(client: MachineClient) -> tuple[int, int]:
        await client.version()
        for _ in range(1000):
            await client.version()
        return _descriptors(), len(asyncio.all_tasks())

    before = _descriptors()
    open_while, _ = ask(Node(), many)
    assert open_while - before < 12
    assert _descriptors() == before


def _descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))
