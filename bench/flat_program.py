"""The reference of the program's speed: the same resources with the same inputs, written out flat, none of our code.

Written from a stack's state: components are bare, dynamic resources have an empty provider, everything else is a plain
call of the official SDKs. Types, names and parents are the stack's own, so the state can be handed over.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

Resource = Mapping[str, Any]
SECRET = "4dabf18193072939515e22adb298388d"  # noqa: S105 (Pulumi's marker of a special value, sdk/go resource/sig.go)
EMPTY = "empty_provider.py"
_OWN = ("__internal", "__provider")
_NOT_ARGUMENTS = ("apiVersion", "kind")
_TOP = '''\
"""Written by bench/flat_program.py."""
import pulumi
import pulumi_kubernetes as k8s
import pulumiverse_talos as talos
import empty_provider

made = {}


class Component(pulumi.ComponentResource):
    def __init__(self, kind, name, opts):
        super().__init__(kind, name, None, opts)
        self.register_outputs({})


'''
_EMPTY_TOP = '''\
"""Written by bench/flat_program.py."""
from pulumi.dynamic import Resource, ResourceProvider


class Empty(ResourceProvider):
    serialize_as_secret_always = False

'''


def write(folder: Path, resources: Sequence[Resource], client: Mapping[str, str]) -> None:
    """Write the program.

    Args:
        folder: the program's; Pulumi.yaml is the caller's.
        resources: of `pulumi stack export --show-secrets`, in its order.
        client: CA, certificate and key for ConfigurationApply, which its state does not keep (write-only).
    """
    dynamic = [resource for resource in resources if resource["type"].startswith("pulumi-python:dynamic/")]
    (folder / EMPTY).write_text(_EMPTY_TOP + "".join(_dynamic_class(resource) for resource in dynamic))
    made = [_call(resource, client) for resource in resources if not _by_the_engine(resource["urn"])]
    [stack] = [resource for resource in resources if resource["type"] == "pulumi:pulumi:Stack"]
    exports = [f"pulumi.export({key!r}, {plain(value)!r})" for key, value in stack["outputs"].items()]
    (folder / "__main__.py").write_text(_TOP + "\n".join([*made, *exports]) + "\n")


def _dynamic_class(resource: Resource) -> str:
    module, name = resource["type"].removeprefix("pulumi-python:dynamic/").split(":")
    return f"""
class {module.title()}{name}(Resource, module={module!r}, name={name!r}):
    def __init__(self, name, inputs, opts):
        super().__init__(Empty(), name, inputs, opts)

"""


def _call(resource: Resource, client: Mapping[str, str]) -> str:
    kind, urn = resource["type"], resource["urn"]
    name = urn.rsplit("::", 1)[1]
    inputs = {key: plain(value) for key, value in resource.get("inputs", {}).items() if key not in _OWN}
    if kind.startswith("pulumi:providers:"):  # their inputs are JSON texts in the state, and the engine adds a version
        del inputs["version"]
        inputs = {key: value == "true" if value in ("true", "false") else value for key, value in inputs.items()}
    options = f"opts=pulumi.ResourceOptions({', '.join(_options(resource))})"
    if kind.startswith("pulumi-python:dynamic/"):
        module, own = kind.removeprefix("pulumi-python:dynamic/").split(":")
        call = f"empty_provider.{module.title()}{own}({name!r}, {inputs!r}, {options})"
    elif resource.get("custom"):
        if kind == "talos:machine/configurationApply:ConfigurationApply":
            inputs["clientConfigurationWo"] = dict(client)
        words = "".join(f"{_snake(key)}={value!r}, " for key, value in inputs.items() if key not in _NOT_ARGUMENTS)
        call = f"{_class_of(kind)}({name!r}, {words}{options})"
    else:
        call = f"Component({kind!r}, {name!r}, {options})"
    return f"made[{urn!r}] = {call}"


def _options(resource: Resource) -> Iterator[str]:
    if resource.get("parent") and "pulumi:pulumi:Stack::" not in resource["parent"]:
        yield f"parent=made[{resource['parent']!r}]"
    if waits := resource.get("dependencies"):
        yield f"depends_on=[{', '.join(f'made[{urn!r}]' for urn in waits)}]"
    if provider := resource.get("provider"):
        urn = provider.rsplit("::", 1)[0]
        if not _by_the_engine(urn):
            yield f"provider=made[{urn!r}]"
    if resource.get("retainOnDelete"):
        yield "retain_on_delete=True"
    if "replacementTrigger" in resource:
        yield f"replacement_trigger={plain(resource['replacementTrigger'])!r}"


def _by_the_engine(urn: str) -> bool:
    """Whether the engine itself registers a resource: the stack, default providers."""
    kind, name = urn.split("::")[2:4]
    return kind == "pulumi:pulumi:Stack" or (kind.startswith("pulumi:providers:") and name.startswith("default"))


def plain(value: Any) -> Any:  # noqa: ANN401 (a property's value)
    """A property with its secrets in clear."""
    if isinstance(value, Mapping):
        if SECRET in value:
            return json.loads(value["plaintext"])
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list) else value


def _class_of(kind: str) -> str:
    """`kubernetes:apps/v1:DaemonSet` -> `k8s.apps.v1.DaemonSet`."""
    if kind.startswith("pulumi:providers:"):
        return {"kubernetes": "k8s", "talos": "talos"}[kind.rpartition(":")[2]] + ".Provider"
    package, module, name = kind.split(":")
    if package == "kubernetes":
        group, version = module.split("/")
        return f"k8s.{group.split('.')[0]}.{version}.{name}"
    return f"talos.{module.split('/')[0]}.{name}"


def _snake(key: str) -> str:
    return re.sub(r"(?<!^)([A-Z])", r"_\1", key).lower()


def for_empty_providers(deployment: Mapping[str, Any], serialized: str) -> dict[str, Any]:
    """The stack's deployment as the flat program would have left it: its dynamic resources have the empty provider."""
    found: dict[str, Any] = json.loads(json.dumps(deployment))
    for resource in found["deployment"]["resources"]:
        for place in ("inputs", "outputs"):
            if "__provider" in resource.get(place, {}):
                resource[place]["__provider"] = serialized
    return found
