"""The machine API broken on purpose, fault by fault, on a real node without a cluster; and what the client says."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from lab.lab import Lab
from lab.nodes import Node
from talos_gpu.talos.client import MachineClient
from talos_gpu.talos.credentials import TalosConfig
from talos_gpu.talos.errors import CertificateExpired, CertificateRejected, DeadlineExceeded, Unreachable
from talos_gpu.talos.facts import read_facts
from talos_gpu.talos.messages import ApplyMode
from tests.lab.conftest import wait_for

pytestmark = pytest.mark.lab

T = TypeVar("T")
BOOT_ID = "/proc/sys/kernel/random/boot_id"
LONG = "/usr/local/bin/nvidia-ctk"


@pytest.fixture(scope="module")
def lab(binaries: Path) -> Iterator[Lab]:
    """One node, containerd only."""
    lab = Lab("test-faults", binaries)
    lab.down()
    try:
        lab.make(cluster=False)
        lab.node().start()
        lab.node().wait_containerd()
        yield lab
    finally:
        lab.down()


@pytest.fixture
def node(lab: Lab) -> Iterator[Node]:
    node = lab.node()
    yield node
    node.set_faults()


def ask(lab: Lab, question: Callable[[MachineClient], Awaitable[T]], *, who: str = "talosconfig", **how: float) -> T:
    async def conversation() -> T:
        credentials = TalosConfig.load(lab.paths.talos / who)
        async with MachineClient(credentials, lab.node().endpoint, **how) as client:  # type: ignore[arg-type]
            return await question(client)

    return asyncio.run(conversation())


async def apply_base(client: MachineClient, base: str) -> None:
    await client.apply_configuration(base)


def test_a_reset_during_apply_is_told_and_not_tried_again(lab: Lab, node: Node) -> None:
    base = (lab.paths.talos / f"{node.name}.yaml").read_text()
    changed = base.replace("machine:\n", "machine:\n    sysctls:\n        kernel.kptr_restrict: '1'\n", 1)
    node.set_faults(reset_after=["ApplyConfiguration"])
    with pytest.raises(Unreachable, match=r"ApplyConfiguration on .*: connection lost") as raised:
        ask(lab, lambda client: apply_base(client, changed))
    assert "remedy: check that the node is up" in str(raised.value)
    node.set_faults()
    requests = ask(lab, lambda client: client.dmesg()).count("apply config request")
    assert requests == 1, "a call that changes something was repeated"
    assert ask(lab, read_facts).kptr_restrict == 1, "the node had taken it: what counts is its state, not the answer"


def test_a_call_that_is_never_answered_ends_at_its_deadline(lab: Lab, node: Node) -> None:
    node.set_faults(hang=["Version"])
    with pytest.raises(DeadlineExceeded, match=r"Version on .*: no answer within 3 s"):
        ask(lab, lambda client: client.version(), timeout=3.0)
    assert ask(lab, lambda client: client.read(BOOT_ID)), "one call that hangs holds up the others"


def test_half_a_stream_is_never_taken_for_the_whole(lab: Lab, node: Node) -> None:
    whole = ask(lab, lambda client: client.read(LONG))
    assert len(whole) > 10**6
    for messages in (0, 1):
        node.set_faults(cut_after={"Read": messages})
        with pytest.raises(Unreachable, match=r"Read on .*: connection lost"):
            ask(lab, lambda client: client.read(LONG))
    node.set_faults()
    assert ask(lab, lambda client: client.read(LONG)) == whole


def test_a_slow_api_tells_the_same(lab: Lab, node: Node) -> None:
    quick = ask(lab, read_facts)
    node.set_faults(delay_s=0.5)
    assert ask(lab, read_facts) == quick


def test_an_expired_client_certificate_is_told_before_anything_is_asked(lab: Lab) -> None:
    with pytest.raises(CertificateExpired, match=r"the client certificate of talosconfig context 'lab' expired on "):
        ask(lab, lambda client: client.version(), who="talosconfig-expired")


def restart(lab: Lab, **changes: object) -> None:
    node = lab.node()
    node.write_profile({**node.profile(), **changes})
    node.stop()
    node.start()
    wait_for("the node has booted", lambda: node.pid)


def test_an_expired_certificate_of_the_node_is_named(lab: Lab) -> None:
    restart(lab, certificate_expired=True)

    def refused() -> str:
        try:
            ask(lab, lambda client: client.version(), timeout=10.0)
        except CertificateRejected as error:
            return error.detail
        except Unreachable:
            return ""
        return "nothing was wrong"

    try:
        said = wait_for("the node answers", refused)
    finally:
        restart(lab, certificate_expired=False)
        lab.node().wait_containerd()
    assert said == "the server's certificate: certificate has expired"


def test_a_node_that_never_returns_is_seen_as_away_at_once(lab: Lab, node: Node) -> None:
    profile = node.profile()
    node.write_profile({**profile, "boot_delay_s": 600})
    ask(lab, lambda client: client.reboot())
    wait_for("the node is away", lambda: node.pid is None)
    try:
        with pytest.raises(Unreachable, match=r"cannot connect to|no answer within 2 s"):
            ask(lab, lambda client: client.version(), timeout=2.0)
    finally:
        node.write_profile(profile)
        node.stop()
        node.start()
        node.wait_containerd()


def test_a_node_that_returns_on_its_old_boot_has_the_old_boot_id(lab: Lab, node: Node) -> None:
    before = ask(lab, read_facts).boot_id
    profile = node.profile()
    node.write_profile({**profile, "boot_id": before})
    pid = node.pid
    ask(lab, lambda client: client.reboot())
    wait_for("the node is back", lambda: node.pid not in {None, pid})
    node.wait_containerd()
    assert ask(lab, read_facts).boot_id == before
    node.write_profile(profile)


def test_the_command_lists_what_only_the_live_config_has(lab: Lab, node: Node, tmp_path: Path) -> None:
    base = tmp_path / "base.yaml"
    base.write_text((lab.paths.talos / f"{node.name}.yaml").read_text())
    live = base.read_text().replace("machine:\n", "machine:\n    sysctls:\n        vm.by_hand: canary-value\n", 1)
    ask(lab, lambda client: client.apply_configuration(live, ApplyMode.NO_REBOOT))

    def render(*flags: str) -> subprocess.CompletedProcess[str]:
        about = ["--talos", "v1.11.1", "--base", base, "--node", node.endpoint, "--talosconfig", lab.paths.talosconfig]
        command = [sys.executable, "-m", "talos_gpu", "machine", "render", *map(str, about), *flags]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    try:
        refused = render("--diff")
        assert (refused.returncode, refused.stdout) == (1, "")
        assert "  - machine.sysctls\n" in refused.stderr
        assert "canary-value" not in refused.stderr
        assert render("--diff", "--allow-removal").returncode == 0
    finally:
        ask(lab, lambda client: client.apply_configuration(base.read_text(), ApplyMode.NO_REBOOT))
