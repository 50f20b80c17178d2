"""Gathers a node's evidence through the Talos API and the cluster's, everything at once; reads only."""

from __future__ import annotations

import asyncio
import json
import posixpath
import re
import time
from collections.abc import Awaitable, Iterable, Mapping, Set
from dataclasses import replace
from pathlib import Path
from typing import Any

from talos_gpu.cdi import facts_of
from talos_gpu.doctor.bundle import META, Bundle, host, listing
from talos_gpu.doctor.meta import Meta
from talos_gpu.doctor.objects import gpu_pods, items, labels
from talos_gpu.doctor.spec_file import loaded
from talos_gpu.doctor.view import BINARIES, MERGED, PART, PARTS, SPEC_FOLDERS, TOOLKIT_CONFIG, View
from talos_gpu.errors import TalosGpuError
from talos_gpu.kube.cluster import Cluster
from talos_gpu.kube.kubeconfig import client_certificate_end
from talos_gpu.settings import Settings
from talos_gpu.talos.client import MachineClient
from talos_gpu.talos.credentials import Credentials, TalosConfig
from talos_gpu.talos.endpoint import forwarded_to
from talos_gpu.talos.errors import ApiError, NotFound
from talos_gpu.talos.facts import EXTENSIONS, KERNEL_PARAMS, loaded_modules
from talos_gpu.talos.udev import RULES_FILES

DECLARED_MODULES = "KernelModuleSpecs.runtime.talos.dev"
TALOS = tuple(
    f"talos/{name}" for name in ("version.txt", "extensions.json", "modules.txt", "services.json", "dmesg.txt")
)
FILES = ("/proc/devices", "/proc/driver/nvidia/version", TOOLKIT_CONFIG, *RULES_FILES)
SYSCTLS = ("net.core.bpf_jit_harden", "kernel.kptr_restrict")
FOLDERS = (BINARIES, "/dev", PARTS, *(folder for folder in SPEC_FOLDERS if folder != "/run/cdi"))
USUAL_FILES = (PART, MERGED, *(f"{folder}/nvidia.yaml" for folder in ("/etc/cdi", "/var/run/cdi", "/var/cdi")))
USUAL_FOLDERS = ("/usr/local/glibc/usr/lib", "/usr/local/lib", "/lib/firmware/nvidia")
"""Read and listed at once, before a listing or a spec names them: a second round trip is the exception."""
COLLECTIONS: Mapping[str, str] = {
    "pods": "/api/v1/pods",
    "events": "/api/v1/events",
    "daemonsets": "/apis/apps/v1/daemonsets",
    "deployments": "/apis/apps/v1/deployments",
    "jobs": "/apis/batch/v1/jobs",
    "replicasets": "/apis/apps/v1/replicasets",
    "runtimeclasses": "/apis/node.k8s.io/v1/runtimeclasses",
}
_LOG_LINES = 200
_DEV = re.compile(r"nvidia|null$")
_PERMISSIONS = 0o777


class Gathering:
    """The bundle as it fills."""

    def __init__(self, meta: Meta, seconds: dict[str, float] | None = None) -> None:
        self.meta = meta
        self.seconds = {} if seconds is None else seconds
        """How long each call took, by key."""
        self.texts: dict[str, str] = {}
        self.unread: dict[str, str] = {}

    @property
    def looked(self) -> Set[str]:
        """Keys that were asked for."""
        return self.texts.keys() | self.unread.keys()

    async def put(self, key: str, answer: Awaitable[str]) -> None:
        """A text, or the reason why it is not there; "" where it was looked for and is not there."""
        began = time.monotonic()
        try:
            self.texts[key] = await answer
        except NotFound:
            self.unread[key] = ""
        except TalosGpuError as error:
            self.unread[key] = error.message
        self.seconds[key] = time.monotonic() - began

    def bundle(self) -> Bundle:
        """What is there by now."""
        return Bundle({**self.texts, META: json.dumps(self.meta.as_json(), indent=1)}, self.unread)


async def gather(
    stack: str, settings: Settings, *, upgrade_to: str | None = None, seconds: dict[str, float] | None = None
) -> Bundle:
    """The evidence of a stack's node. What cannot be reached is named in `unread`, never an exception.

    `seconds`, if given, is filled with how long each call took, by the evidence's key.
    """
    gathering = Gathering(Meta.of(stack, settings, upgrade_to=upgrade_to), seconds)
    await asyncio.gather(_node(gathering, settings), _cluster(gathering, settings))
    return gathering.bundle()


async def _node(gathering: Gathering, settings: Settings) -> None:
    node = settings.node
    endpoint = node.endpoint or node.address
    try:
        credentials = TalosConfig.load(settings.talosconfig or None, settings.talos_context or None)
        _certificate(gathering, "talosconfig", credentials)
        async with MachineClient(credentials, endpoint, forwarded_to(endpoint, node.address)) as client:
            await gather_node(gathering, client)
    except TalosGpuError as error:
        sysctls = (f"/proc/sys/{name.replace('.', '/')}" for name in SYSCTLS)
        files = (*FILES, *USUAL_FILES, *sysctls)
        for key in (*TALOS, *map(host, files), *map(listing, (*FOLDERS, *USUAL_FOLDERS))):
            gathering.unread.setdefault(key, error.message)


def _certificate(gathering: Gathering, origin: str, credentials: Credentials) -> None:
    ends = {**(gathering.meta.certificates or {}), origin: credentials.not_after.isoformat()}
    gathering.meta = replace(gathering.meta, certificates=ends, roles=credentials.roles)


async def gather_node(gathering: Gathering, client: MachineClient) -> None:
    """The node's part, over one connection."""
    put = gathering.put
    await asyncio.gather(
        put("talos/version.txt", _version(client)),
        put("talos/extensions.json", _extensions(client)),
        put("talos/modules.txt", _loaded(client)),
        _declared(gathering, client),
        put("talos/services.json", _services(client)),
        put("talos/dmesg.txt", client.dmesg()),
        *(put(host(path), _text(client, path)) for path in (*FILES, *USUAL_FILES)),
        *(_entries(gathering, client, folder) for folder in USUAL_FOLDERS),
        *(put(host(f"/proc/sys/{name.replace('.', '/')}"), _sysctl(client, name)) for name in SYSCTLS),
        *(_entries(gathering, client, folder) for folder in FOLDERS),
    )
    named = [folder for folder in View(gathering.bundle()).spec_dirs if folder not in (*FOLDERS, *SPEC_FOLDERS)]
    await asyncio.gather(*(_entries(gathering, client, folder) for folder in named))
    await asyncio.gather(*(_folder(gathering, client, folder) for folder in (*FOLDERS, *named)))


async def _version(client: MachineClient) -> str:
    return (await client.version()).tag + "\n"


async def _text(client: MachineClient, path: str) -> str:
    return (await client.read(path)).decode(errors="replace")


async def _sysctl(client: MachineClient, name: str) -> str:
    try:
        return f"{(await client.resource_get(KERNEL_PARAMS, f'proc.sys.{name}')).spec['current']}\n"
    except NotFound:
        return await _text(client, f"/proc/sys/{name.replace('.', '/')}")


async def _names(client: MachineClient, kind: str) -> str:
    return "\n".join(resource.id for resource in await client.resource_list(kind))


async def _loaded(client: MachineClient) -> str:
    return "\n".join(sorted(await loaded_modules(client)))


async def _declared(gathering: Gathering, client: MachineClient) -> None:
    """The modules that the machine config declares; an empty answer tells nothing where the release has no such "
    "list."""
    try:
        names = await _names(client, DECLARED_MODULES)
    except ApiError as error:
        gathering.unread["talos/declared-modules.txt"] = error.message
        return
    if names:
        gathering.texts["talos/declared-modules.txt"] = names


async def _extensions(client: MachineClient) -> str:
    listed = [status.spec["metadata"] for status in await client.resource_list(EXTENSIONS)]
    return json.dumps({str(metadata["name"]): str(metadata["version"]) for metadata in listed}, indent=1)


async def _services(client: MachineClient) -> str:
    services = await client.services()
    told = [{"id": one.id, "state": one.state, "healthy": one.healthy, "message": one.last_message} for one in services]
    return json.dumps(told, indent=1)


async def _folder(gathering: Gathering, client: MachineClient, folder: str) -> None:
    """Of a folder of specs or parts the files that were not read yet, and the folders that its specs name."""
    if folder in (BINARIES, "/dev"):
        return
    names = [line.split(" ", 1)[1] for line in gathering.texts.get(listing(folder), "").splitlines()]
    wanted = [name for name in names if name.endswith((".yaml", ".json", ".part"))]
    missing = [f"{folder}/{name}" for name in wanted if host(f"{folder}/{name}") not in gathering.texts]
    await asyncio.gather(*(gathering.put(host(path), _text(client, path)) for path in missing))
    named = {posixpath.dirname(path) for name in wanted for path in _named(gathering, f"{folder}/{name}")}
    await asyncio.gather(
        *(_entries(gathering, client, one) for one in sorted(named) if listing(one) not in gathering.looked)
    )


async def _entries(gathering: Gathering, client: MachineClient, folder: str) -> None:
    async def read() -> str:
        kept = [entry for entry in await client.list(folder) if folder != "/dev" or _DEV.match(entry.name)]
        return "".join(f"{entry.mode & _PERMISSIONS:04o} {entry.name}\n" for entry in kept)

    await gathering.put(listing(folder), read())


def _named(gathering: Gathering, path: str) -> list[str]:
    """Host paths that a spec names, devices aside."""
    text = gathering.texts.get(host(path))
    if text is None or not path.endswith((".yaml", ".json")):
        return []
    spec, _ = loaded(text)
    if spec is None:
        return []
    needed = facts_of(spec)
    return [path for path in (*needed.host_paths, *needed.executables) if path not in needed.device_nodes]


async def _cluster(gathering: Gathering, settings: Settings) -> None:
    _kubeconfig_certificate(gathering, settings)
    try:
        async with Cluster(settings.kubeconfig or None, connect=False) as cluster:
            await gather_cluster(gathering, cluster, settings.node.name)
    except TalosGpuError as error:
        for plural in COLLECTIONS:
            gathering.unread.setdefault(f"cluster/{plural}.json", error.message)
        gathering.unread.setdefault("cluster/node.json", error.message)


async def gather_cluster(gathering: Gathering, cluster: Cluster, node: str) -> None:
    """The cluster's part: its objects, and the logs of GPU pods and of our own as soon as those are known."""

    async def whole(path: str) -> str:
        return json.dumps(await cluster.fetch(path) or {})

    async def pods_and_logs() -> None:
        await gathering.put("cluster/pods.json", whole(COLLECTIONS["pods"]))
        await asyncio.gather(
            *(
                gathering.put(f"cluster/logs/{namespace}_{name}.txt", cluster.log(namespace, name, _LOG_LINES))
                for namespace, name in sorted(_logged(gathering))
            )
        )

    await asyncio.gather(
        pods_and_logs(),
        gathering.put("cluster/node.json", whole(f"/api/v1/nodes/{node}")),
        *(gathering.put(f"cluster/{name}.json", whole(path)) for name, path in COLLECTIONS.items() if name != "pods"),
    )


def _logged(gathering: Gathering) -> Iterable[tuple[str, str]]:
    """Pods whose logs tell something: those with the GPU, and our own."""
    if "cluster/pods.json" not in gathering.texts:
        return set()
    view = View(gathering.bundle())
    pods = [*gpu_pods(view), *(pod for pod in items(view, "pods") if _ours(pod))]
    return {(pod["metadata"]["namespace"], pod["metadata"]["name"]) for pod in pods}


def _ours(pod: Mapping[str, Any]) -> bool:
    return str(labels(pod).get("app")).startswith("nvidia-cdi")


def _kubeconfig_certificate(gathering: Gathering, settings: Settings) -> None:
    found = client_certificate_end(Path(settings.kubeconfig) if settings.kubeconfig else None)
    if found is None:
        return  # a kubeconfig without a certificate of its own, or none: the cluster's calls say what is wrong with it
    ends = {**(gathering.meta.certificates or {}), "kubeconfig": found.isoformat()}
    gathering.meta = replace(gathering.meta, certificates=ends)
