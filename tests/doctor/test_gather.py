"""Evidence gathered live: Talos API and Kubernetes API faked at the transport."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from talos_gpu.doctor.bundle import Bundle, host
from talos_gpu.doctor.diagnose import diagnose
from talos_gpu.doctor.gather import COLLECTIONS, FILES, FOLDERS, SYSCTLS, USUAL_FILES, USUAL_FOLDERS, gather
from talos_gpu.doctor.render import as_json, as_text
from talos_gpu.rollout.diagnosis import Told, told
from talos_gpu.settings.stack_file import stack_settings
from talos_gpu.talos.facts import EXTENSIONS, KERNEL_PARAMS, LOADED_MODULES
from talos_gpu.talos.proto import machine_pb2
from tests.commanding import talos_gpu
from tests.doctor.bundles import MODULES, healthy
from tests.kube.fake_api import Api
from tests.kube.fake_api import serving as serving_api
from tests.talos.fake_talos import ADDRESS, Node
from tests.talos.fake_talos import serving as serving_talos
from tests.talos.pki import Authority, elsewhere, talosconfig

ROOT = Path(__file__).parents[2]
AUTHORITY = Authority()


def talos_node(bundle: Bundle) -> Node:
    """A fake node that has a bundle's evidence; it lists every folder alike."""
    files = {key.removeprefix("host"): text.encode() for key, text in bundle.folder("host").items()}
    extensions: dict[str, str] = bundle.json("talos/extensions.json")
    resources: dict[tuple[str, str], Any] = {
        (EXTENSIONS, str(number)): {"metadata": {"name": name, "version": version}}
        for number, (name, version) in enumerate(extensions.items())
    }
    resources |= {(LOADED_MODULES, name): {} for name in MODULES.split()}
    for name in ("net.core.bpf_jit_harden", "kernel.kptr_restrict"):
        resources[KERNEL_PARAMS, f"proc.sys.{name}"] = {"current": "2"}
    names = [line.split()[-1] for text in bundle.folder("lists").values() for line in text.splitlines()]
    folder = [machine_pb2.FileInfo(name=name, relative_name=name, mode=0o666) for name in sorted(set(names))]
    services = [machine_pb2.ServiceInfo(id="ext-nvidia-persistenced", state="Running")]
    return Node(files=files, resources=resources, services=services, folder=folder)


def cluster_api(bundle: Bundle) -> Api:
    objects: dict[str, Any] = {path: bundle.json(f"cluster/{name}.json") for name, path in COLLECTIONS.items()}
    objects["/api/v1/nodes/talos05"] = bundle.json("cluster/node.json")
    objects["/api/v1/namespaces/media/pods/tdarr-0/log"] = "Error: connect ECONNREFUSED 10.96.0.12:8266"
    return Api(objects)


@dataclass
class Surroundings:
    talos: Node
    api: Api
    folder: Path
    role: str = "os:admin"
    context: str = ""
    certificates: dict[str, str] = field(default_factory=dict)

    @contextlib.asynccontextmanager
    async def served(self) -> AsyncIterator[Path]:
        async with serving_talos(self.talos, AUTHORITY) as port, serving_api(self.api, self.folder) as kubeconfig:
            whole = talosconfig(AUTHORITY, AUTHORITY.client(self.role))
            (self.folder / "talosconfig").write_text(elsewhere(whole) if self.context else whole)
            document = yaml.safe_load((ROOT / "Pulumi.talos05.yaml").read_text())
            config = document["config"]
            config["talos-nvidia-cdi:node"] |= {"address": ADDRESS, "endpoint": f"{ADDRESS}:{port}"}
            config["talos-nvidia-cdi:talosconfig"] = str(self.folder / "talosconfig")
            config["talos-nvidia-cdi:kubeconfig"] = str(kubeconfig)
            config["talos-nvidia-cdi:talos_context"] = self.context
            path = self.folder / "Pulumi.talos05.yaml"
            path.write_text(yaml.safe_dump(document))
            yield path

    def gather(self) -> Bundle:
        async def conversation() -> Bundle:
            async with self.served() as path:
                return await gather("talos05", stack_settings(path))

        return asyncio.run(conversation())

    def gather_after(self) -> Bundle:
        """When both APIs are gone."""

        async def conversation() -> Bundle:
            async with self.served() as path:
                settings = stack_settings(path)
            return await gather("talos05", settings)

        return asyncio.run(conversation())


@pytest.fixture
def surroundings(tmp_path: Path) -> Surroundings:
    return Surroundings(talos_node(healthy()), cluster_api(healthy()), tmp_path)


TALOS_CALLS = 6 + len(FILES) + len(USUAL_FILES) + len(USUAL_FOLDERS) + len(FOLDERS) + len(SYSCTLS)
"""Version, extensions, loaded and declared modules, services, dmesg; every file, folder and sysctl."""
EXPECTED = {"certificate-expiring", "tdarr-server-unreachable", "image-unpinned"}
"""The fake's talosconfig lives an hour, the log says that the server is gone, the stack's images have tags."""


def test_a_node_and_its_cluster_are_gathered_and_diagnosed(surroundings: Surroundings) -> None:
    bundle = surroundings.gather()
    diagnosis = diagnose(bundle)
    assert {finding.check for finding in diagnosis.roots} == EXPECTED
    assert bundle.texts[host("/proc/sys/net/core/bpf_jit_harden")] == "2\n"
    assert bundle.json("meta.json")["node"] == "talos05"
    assert [one.check for one in diagnosis.not_run] == ["part-not-merged"]


def test_a_reader_sees_what_the_resources_tell_and_is_told_what_an_admin_would(surroundings: Surroundings) -> None:
    surroundings.role = "os:reader"
    diagnosis = diagnose(surroundings.gather())
    reasons = {one.check: one.reason for one in diagnosis.not_run}
    assert "module-not-loaded" not in reasons
    assert "extension-missing" not in reasons
    assert "needs role os:admin, the certificate has os:reader" in reasons["part-missing"]


def test_a_reader_of_a_healthy_node_is_told_how_much_was_looked_at(surroundings: Surroundings) -> None:
    surroundings.role = "os:reader"
    surroundings.api.objects["/api/v1/namespaces/media/pods/tdarr-0/log"] = "connected"
    bundle = surroundings.gather()
    texts = {**bundle.texts, "meta.json": healthy().texts["meta.json"]}
    diagnosis = diagnose(Bundle(texts, bundle.unread))
    assert (diagnosis.roots, diagnosis.exit_code) == ((), 0)
    assert "nothing wrong found in what could be looked at: 38 of 67 checks" in as_text(diagnosis)
    assert told(diagnosis) == Told()


def test_where_nothing_answers_nothing_is_called_right(surroundings: Surroundings) -> None:
    bundle = surroundings.gather_after()
    dead = diagnose(Bundle({**bundle.texts, "meta.json": healthy().texts["meta.json"]}, bundle.unread))
    assert (dead.roots, dead.exit_code) == ((), 2)
    assert "nothing wrong found in what could be looked at: " in as_text(dead)
    assert set(json.loads(as_json(dead))["could_not_be_told"][0]) == {"check", "reason"}
    found = told(dead)
    assert found.findings == ()
    assert str(surroundings.folder / "kubeconfig") in found.unable
    assert ADDRESS in found.unable


@pytest.mark.parametrize("gone", ["talosconfig", "kubeconfig"])
def test_without_one_of_the_two_configurations_it_could_not_be_told(surroundings: Surroundings, gone: str) -> None:
    surroundings.api.objects["/api/v1/namespaces/media/pods/tdarr-0/log"] = "connected"

    async def conversation() -> Bundle:
        async with surroundings.served() as path:
            (surroundings.folder / gone).unlink()
            return await gather("talos05", stack_settings(path))

    bundle = asyncio.run(conversation())
    diagnosis = diagnose(Bundle({**bundle.texts, "meta.json": healthy().texts["meta.json"]}, bundle.unread))
    assert (diagnosis.roots, diagnosis.exit_code) == ((), 2)
    assert str(surroundings.folder / gone) in told(diagnosis).unable


def test_without_talos_the_cluster_is_still_diagnosed_and_the_other_way_round(surroundings: Surroundings) -> None:
    surroundings.talos.unavailable = 10_000
    assert "tdarr-server-unreachable" in {one.check for one in diagnose(surroundings.gather()).findings}
    surroundings.talos.unavailable = 0
    surroundings.api.status = 403
    diagnosis = diagnose(surroundings.gather())
    assert "spec-missing" not in {one.check for one in diagnosis.not_run} | {one.check for one in diagnosis.findings}
    assert "label-missing" in {one.check for one in diagnosis.not_run}


def test_the_node_is_asked_with_the_named_context(surroundings: Surroundings) -> None:
    surroundings.context = "lab"
    assert surroundings.gather().texts["talos/version.txt"] == "v1.11.1\n"


def test_the_modules_of_a_release_without_their_resource_come_from_the_file(surroundings: Surroundings) -> None:
    for name in MODULES.split():
        del surroundings.talos.resources[LOADED_MODULES, name]
    surroundings.talos.files["/proc/modules"] = "".join(f"{name} 1 0 - Live 0x0\n" for name in MODULES.split()).encode()
    assert surroundings.gather().texts["talos/modules.txt"].split() == sorted(MODULES.split())


async def _until(seen: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not seen():  # noqa: ASYNC110 (the fakes only count)
            await asyncio.sleep(0.01)


def test_everything_is_asked_before_anything_is_answered(surroundings: Surroundings) -> None:
    surroundings.talos.delay = surroundings.api.delay = 60

    async def asked() -> tuple[list[str], list[Any]]:
        async with surroundings.served() as path:
            gathering = asyncio.create_task(gather("talos05", stack_settings(path)))
            await _until(lambda: len(surroundings.api.requests) > len(COLLECTIONS))
            await _until(lambda: len(surroundings.talos.calls) >= TALOS_CALLS)
            gathering.cancel()
            await asyncio.gather(gathering, return_exceptions=True)
        return surroundings.talos.calls, surroundings.api.requests

    talos, cluster = asyncio.run(asked())
    assert {"version", "read", "list", "services", "list_resources", "get"} <= set(talos)
    assert len(cluster) == len(COLLECTIONS) + 1


def test_the_command_looks_at_a_stack_and_saves_what_it_saw(surroundings: Surroundings) -> None:
    words = ["doctor", "talos05", "--json", "--save", str(surroundings.folder / "saved")]

    async def conversation() -> tuple[int, str, str]:
        async with surroundings.served():
            return await talos_gpu(surroundings.folder, *words)

    code, out, err = asyncio.run(conversation())
    assert (code, err) == (1, "")
    assert {one["check"] for one in json.loads(out)["findings"]} == EXPECTED
    assert (surroundings.folder / "saved" / "host" / "var/run/cdi/nvidia.yaml").is_file()


def _with_another_user_first(path: Path) -> None:
    """In the stack's kubeconfig a user of another cluster, whose certificate has expired."""
    config = Path(yaml.safe_load(path.read_text())["config"]["talos-nvidia-cdi:kubeconfig"])
    document = yaml.safe_load(config.read_text())
    expired = AUTHORITY.client("x", start=timedelta(days=-2), end=timedelta(days=-1)).crt
    user = {"client-certificate-data": base64.b64encode(expired).decode()}
    document["users"].insert(0, {"name": "of-another-cluster", "user": user})
    config.write_text(yaml.safe_dump(document))


def test_the_kubeconfig_s_certificate_is_that_of_the_user_who_asks(surroundings: Surroundings) -> None:
    async def conversation() -> Bundle:
        async with surroundings.served() as path:
            _with_another_user_first(path)
            return await gather("talos05", stack_settings(path))

    assert list(asyncio.run(conversation()).json("meta.json")["certificates"]) == ["talosconfig"]
