"""Which values of a resource are marked secret. The SDK hands marks only to a remediation: this one changes nothing.

Facts: the engine asks for remediations before validations, with marks kept (pulumi/pulumi
sdk/go/common/resource/plugin/analyzer_plugin.go, Remediate); the SDK's own serializer shows them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pulumi_policy import ResourceValidationArgs
from pulumi_policy.deserialize import SPECIAL_SECRET_SIG, SPECIAL_SIG_KEY, serialize_properties


@dataclass(frozen=True)
class Leaf:
    """A value below a resource's inputs."""

    path: str
    """`data.x`, `spec.template.spec.containers[0].env[1].value`."""
    value: Any
    """A value that is not known yet is the SDK's own text for it."""
    marked: bool
    """Whether it, or something that it lies in, is marked secret."""


class Marks:
    """What remediations have seen; one engine operation is one process of this pack."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[Leaf, ...]] = {}

    def see(self, args: ResourceValidationArgs) -> None:
        """Remember a resource's leaves; returns nothing, so that the engine keeps its inputs as they are."""
        self._seen[args.urn] = tuple(leaves(serialize_properties(args.props)))

    def of(self, args: ResourceValidationArgs) -> tuple[Leaf, ...] | None:
        """The leaves of a resource; None where the policy's level is not `remediate` and so no mark was seen."""
        return self._seen.get(args.urn)


def leaves(value: Any, path: str = "", *, marked: bool = False) -> Iterator[Leaf]:  # noqa: ANN401 (a property)
    """Every value below serialized properties that is neither mapping nor list."""
    match value:
        case dict() if value.get(SPECIAL_SIG_KEY) == SPECIAL_SECRET_SIG:
            yield from leaves(value["value"], path, marked=True)
        case dict():
            for key, inner in value.items():
                yield from leaves(inner, f"{path}.{key}" if path else str(key), marked=marked)
        case list():
            for index, inner in enumerate(value):
                yield from leaves(inner, f"{path}[{index}]", marked=marked)
        case _:
            yield Leaf(path, value, marked)
