"""Adoption: what was made by hand is taken over before our worker, and retired after our installer is ready."""

from __future__ import annotations

from typing import ClassVar

import pulumi
from pulumi.dynamic import CreateResult, Resource, UpdateResult
from typing_extensions import override

from components.cdi_init import APP as INSTALLER
from components.dynamic import NodeProvider, Props, run, tell, whole
from components.names import object_name
from talos_gpu.kube.takeover import retire, take_over
from talos_gpu.talos.machine_config import LABEL

VERSION = "1"


class TakenOverProvider(NodeProvider):
    """Hands the fields of a hand-made Deployment over, once."""

    moves: ClassVar[frozenset[str]] = frozenset(("node", "namespace", "name", "version"))

    @override
    def create(self, props: Props) -> CreateResult:
        run(self._take(whole(props)))
        return CreateResult(f"{props['node']}-taken-over", whole(props))

    @override
    def update(self, _id: str, _olds: Props, _news: Props) -> UpdateResult:
        run(self._take(whole(_news)))
        return UpdateResult(whole(_news))

    async def _take(self, props: Props) -> None:
        async with self._access.cluster() as cluster:
            said = await take_over(cluster, props["namespace"], props["name"], props["selector"])
        if said:
            tell(said)


class RetiredProvider(NodeProvider):
    """Deletes the hand-made installer and generator, once."""

    moves: ClassVar[frozenset[str]] = frozenset(("node", "version"))

    @override
    def create(self, props: Props) -> CreateResult:
        run(self._retire(whole(props)))
        return CreateResult(f"{props['node']}-retired", whole(props))

    @override
    def update(self, _id: str, _olds: Props, _news: Props) -> UpdateResult:
        run(self._retire(whole(_news)))
        return UpdateResult(whole(_news))

    async def _retire(self, props: Props) -> None:
        async with self._access.cluster() as cluster:
            ours = object_name(INSTALLER, "{node}")
            for sentence in await retire(cluster, props["node"], LABEL, ours):
                tell(sentence)


class TakenOver(Resource, module="adopt", name="TakenOver"):
    """The worker's Deployment before ours is applied."""

    def __init__(self, name: str, props: Props, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(TakenOverProvider(), name, {**props, "version": VERSION}, opts)


class Retired(Resource, module="adopt", name="Retired"):
    """The write-up's objects after ours are ready."""

    def __init__(self, name: str, props: Props, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(RetiredProvider(), name, {**props, "version": VERSION}, opts)
