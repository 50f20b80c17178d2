"""What a policy is given, as plain values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pulumi_policy.proxy import UnknownValueError


class Unknown:
    """A value that is known only after the update; equal to nothing."""


UNKNOWN = Unknown()


def plain(value: Any) -> Any:  # noqa: ANN401 (a property's value)
    """The SDK's proxies as dicts and lists, what is not known yet as UNKNOWN."""
    if isinstance(value, Mapping):
        return {key: _item(value, key) for key in value}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_item(value, index) for index in range(len(value))]
    return value


def _item(value: Any, key: Any) -> Any:  # noqa: ANN401
    try:
        return plain(value[key])
    except UnknownValueError:
        return UNKNOWN


def at(value: Any, *path: Any) -> Any:  # noqa: ANN401
    """What lies at a path of keys and indices; None if nothing does."""
    for step in path:
        if isinstance(value, dict):
            value = value.get(step)
        else:
            return None
    return value


def items(value: Any) -> list[dict[str, Any]]:  # noqa: ANN401
    """The mappings in a list; [] for what is no list or not known yet."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def texts(value: Any, path: str = "") -> Iterator[tuple[str, str]]:  # noqa: ANN401
    """(path, text) of every text below a value."""
    match value:
        case dict():
            for key, inner in value.items():
                yield from texts(inner, f"{path}.{key}" if path else str(key))
        case list():
            for index, inner in enumerate(value):
                yield from texts(inner, f"{path}[{index}]")
        case str():
            yield path, value


def pod_of(kind: str, props: Mapping[str, Any]) -> dict[str, Any]:
    """The pod spec in a Kubernetes object; {} where it has none. `kind` is the type's last word."""
    spec = props.get("spec")
    for step in {"Pod": (), "CronJob": ("jobTemplate", "spec", "template", "spec")}.get(kind, ("template", "spec")):
        spec = at(spec, step)
    return spec if isinstance(spec, dict) and "containers" in spec else {}


def containers(pod: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Every container of a pod, init containers too."""
    for key in ("initContainers", "containers"):
        yield from items(pod.get(key))
