"""WorkerRestart: before the worker's pod is replaced, until no encode runs in it; and a preview that says so."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar

import pulumi
from pulumi.dynamic import CreateResult, DiffResult, Resource, UpdateResult
from typing_extensions import override

from components.dynamic import NodeProvider, Props, run, tell, whole
from components.restart import quieting, worker
from talos_gpu.kube.quiet import idle
from talos_gpu.kube.worker import SPEC, TEMPLATE, restart_reasons, restart_sentence

VERSION = "1"


class WorkerRestartProvider(NodeProvider):
    """Waits for the worker that is there; changes nothing."""

    moves: ClassVar[frozenset[str]] = frozenset(("node", TEMPLATE, SPEC, "version"))

    @override
    def diff(self, _id: str, _olds: Props, _news: Props) -> DiffResult:
        """As of every provider; says what restarts the worker, from what was last applied."""
        found = super().diff(_id, whole(_olds), whole(_news))
        said = restart_sentence(restart_reasons(whole(_olds), whole(_news)), whole(_news)["before_restart"])
        if found.changes and said:
            tell(f"{_news['node']}: {said}")
        return found

    @override
    def create(self, props: Props) -> CreateResult:
        """What runs there now is not known to be ours: the first worker waits for nobody."""
        return CreateResult(f"{props['node']}-worker-restart", whole(props))

    @override
    def update(self, _id: str, _olds: Props, _news: Props) -> UpdateResult:
        return UpdateResult(run(self._waited(whole(_olds), whole(_news))))

    async def _waited(self, olds: Props, news: Props) -> Props:
        if restart_reasons(olds, news) and news["before_restart"]["cordon"]:
            async with self._access.cluster() as cluster:
                await idle(cluster, news["node"], worker(news["node"]), quieting(news), tell)
        return news


def template(spec: Mapping[str, Any], runtime_class: str | None) -> dict[str, str]:
    """The parts of the worker's Deployment `spec` (components.tdarr.deployment_spec) whose change restarts its pod."""
    pod = spec["template"]["spec"]
    [container] = pod["containers"]
    parts: dict[str, Any] = {
        "tdarr.image": container["image"],
        "tdarr.resources": container.get("resources"),
        "tdarr.readiness": container.get("readiness_probe"),
        "tdarr.volumes": [container["volume_mounts"], pod["volumes"]],
        "tdarr.supplemental_groups": pod.get("security_context"),
        "cdi.runtime": runtime_class or "containerd's default runtime",
        **{f"environment {item['name']}": item["value"] for item in container["env"]},
    }
    return {name: _text(value) for name, value in parts.items() if value is not None}


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


class WorkerRestart(Resource, module="talos", name="WorkerRestart"):
    """The worker's pod as it was last applied."""

    def __init__(self, name: str, props: Props, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(WorkerRestartProvider(), name, {**props, "version": VERSION}, opts)
