"""Differences between the last known live object and the program's inputs, and what forces a replacement.

Rules of provider/pkg/provider/{diff,util,provider}.go: the live object is seen through the shape of the old inputs,
then compared with the new ones; lists are compared by index.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from typing_extensions import override

from lab.engine.kubernetes.objects import api_version_of, kind_of, metadata, namespace_of
from lab.engine.kubernetes.wire import Object

Path = tuple[str | int, ...]
Kind = Literal["ADD", "DELETE", "UPDATE"]

_IDENTITY = ("metadata.name", "metadata.namespace", "kind", "apiVersion")
_FORCE_NEW: dict[tuple[str, str], tuple[str, ...]] = {
    ("apps/v1", "DaemonSet"): ("spec.selector",),
    ("apps/v1", "Deployment"): ("spec.selector",),
    ("apps/v1", "StatefulSet"): (
        "spec.podManagementPolicy",
        "spec.revisionHistoryLimit",
        "spec.selector",
        "spec.serviceName",
        "spec.volumeClaimTemplates",
    ),
    ("batch/v1", "Job"): ("spec.completions", "spec.parallelism", "spec.selector", "spec.template"),
    ("v1", "PersistentVolumeClaim"): ("spec",),
    ("v1", "PersistentVolume"): tuple(
        f"spec.{source}" for source in ("csi", "fc", "hostPath", "iscsi", "local", "nfs", "flexVolume", "cephfs", "rbd")
    ),
    ("v1", "ResourceQuota"): ("spec.scopes",),
    ("v1", "Service"): ("spec.clusterIP",),
    ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding"): ("roleRef",),
    ("rbac.authorization.k8s.io/v1", "RoleBinding"): ("roleRef",),
    ("storage.k8s.io/v1", "StorageClass"): ("parameters", "provisioner"),
}
_POD_SPEC_CHANGEABLE = frozenset(("activeDeadlineSeconds", "tolerations"))
_CONTAINERS = frozenset(("containers", "initContainers"))


@dataclass(frozen=True, slots=True)
class Difference:
    """One place where live object and inputs differ."""

    path: Path
    kind: Kind
    value: Any
    """The new value; None for DELETE."""

    @override
    def __str__(self) -> str:
        return render(self.path)


@dataclass(frozen=True, slots=True)
class Mutability:
    """Whether a provider changes data in place: off by default, so that changed data makes a new object."""

    config_maps: bool = False
    secrets: bool = False


def render(path: Path) -> str:
    """A property path as the engine writes it: `spec.containers[0].env`, `data["a.b"]`."""
    out = ""
    for step in path:
        if isinstance(step, int):
            out += f"[{step}]"
        elif step.isidentifier():
            out += f".{step}" if out else step
        else:
            quoted = step.replace('"', '\\"')
            out += f'["{quoted}"]'
    return out


def pruned(live: Any, shape: Any) -> Any:  # noqa: ANN401 (JSON)
    """The live object through the fields of `shape`; list elements beyond the shape's are dropped.

    A zero value of the shape (`false`, 0, an empty string or collection) that the server does not store is kept: Go's
    types leave it out, so that it says the same.
    """
    if isinstance(live, dict) and isinstance(shape, dict):
        return {
            key: pruned(live[key], item) if key in live else item
            for key, item in shape.items()
            if key in live or not item
        }
    if isinstance(live, list) and isinstance(shape, list):
        if shape and live and type(live[0]) is not type(shape[0]):
            return live
        return [pruned(one, like) for one, like in zip(live, shape, strict=False)]
    return live


def differences(old: Object, new: Object) -> list[Difference]:
    """Where `new` differs from `old` (a pruned live object)."""
    return list(_compare((), old, new))


def _compare(path: Path, old: Any, new: Any) -> Iterator[Difference]:  # noqa: ANN401 (JSON)
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            here = (*path, key)
            if key not in new:
                yield Difference(here, "DELETE", None)
            elif key in old:
                yield from _compare(here, old[key], new[key])
            else:
                yield Difference(here, "ADD", new[key])
    elif isinstance(old, list) and isinstance(new, list):
        for index in range(max(len(old), len(new))):
            here = (*path, index)
            if index >= len(new):
                yield Difference(here, "DELETE", None)
            elif index >= len(old):
                yield Difference(here, "ADD", new[index])
            else:
                yield from _compare(here, old[index], new[index])
    elif old != new:
        yield Difference(path, "UPDATE", new)


def forces_replacement(obj: Object, difference: Difference, mutability: Mutability) -> bool:
    """Whether the object must be made anew for this difference."""
    if kind_of(obj) == "Pod" and api_version_of(obj) == "v1" and _pod_field_is_fixed(difference.path):
        return True
    return any(_touches(difference, tuple(field.split("."))) for field in _fixed_fields(obj, mutability))


def _fixed_fields(obj: Object, mutability: Mutability) -> Sequence[str]:
    immutable = obj.get("immutable") is True
    group_kind = (api_version_of(obj), kind_of(obj))
    if group_kind == ("v1", "ConfigMap") and (immutable or not mutability.config_maps):
        return (*_IDENTITY, "data", "binaryData")
    if group_kind == ("v1", "Secret") and (immutable or not mutability.secrets):
        return (*_IDENTITY, "data", "stringData", "type")
    return (*_IDENTITY, *_FORCE_NEW.get(group_kind, ()))


def _touches(difference: Difference, field: tuple[str, ...]) -> bool:
    path = difference.path
    if path[: len(field)] == field:
        return True
    if field[: len(path)] != path:
        return False
    value = difference.value  # a whole that is new or gone: does it hold the field?
    for step in field[len(path) :]:
        if difference.kind == "DELETE":
            return True
        if not isinstance(value, dict) or step not in value:
            return False
        value = value[step]
    return True


def _pod_field_is_fixed(path: Path) -> bool:
    if len(path) < 2 or path[0] != "spec" or path[1] in _POD_SPEC_CHANGEABLE:
        return False
    return path[1] not in _CONTAINERS or len(path) > 3


def align_namespaces(old: Object, new: Object, *, namespaced: bool) -> None:
    """An unset namespace is `default` for kinds that have one, and nothing for the others."""
    for obj in (old, new):
        if namespaced:
            obj["metadata"] = {**metadata(obj), "namespace": namespace_of(obj) or "default"}
        else:
            obj["metadata"] = {key: value for key, value in metadata(obj).items() if key != "namespace"}
