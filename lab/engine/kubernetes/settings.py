"""The provider's own configuration: its arguments, the stack's `kubernetes:` keys, PULUMI_K8S_* variables."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from lab.engine.kubernetes.diff import Mutability
from lab.engine.kubernetes.wire import Object

NOT_HERE = ("renderYamlToDirectory", "helmReleaseSettings", "alwaysRender")
"""Arguments that this stand-in refuses."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What a provider was configured with."""

    kubeconfig: str = field(default="", repr=False)
    context: str | None = None
    cluster: str | None = None
    namespace: str = ""
    delete_unreachable: bool = False
    skip_update_unreachable: bool = False
    upsert: bool = False
    patch_force: bool = False
    mutability: Mutability = field(default_factory=Mutability)


def read(arguments: Object) -> Settings:
    """Settings from the arguments (booleans come as JSON text) and the environment."""
    return Settings(
        kubeconfig=str(arguments.get("kubeconfig") or ""),
        context=arguments.get("context") or os.environ.get("PULUMI_K8S_CONTEXT") or None,
        cluster=arguments.get("cluster") or None,
        namespace=str(arguments.get("namespace") or ""),
        delete_unreachable=_flag(arguments, "deleteUnreachable", "PULUMI_K8S_DELETE_UNREACHABLE"),
        skip_update_unreachable=_flag(arguments, "skipUpdateUnreachable", "PULUMI_K8S_SKIP_UPDATE_UNREACHABLE"),
        upsert=_flag(arguments, "upsertExistingObjects", "PULUMI_K8S_UPSERT_EXISTING_OBJECTS"),
        patch_force=_flag(arguments, "enablePatchForce", "PULUMI_K8S_ENABLE_PATCH_FORCE"),
        mutability=Mutability(
            config_maps=_flag(arguments, "enableConfigMapMutable", "PULUMI_K8S_ENABLE_CONFIGMAP_MUTABLE"),
            secrets=_flag(arguments, "enableSecretMutable", "PULUMI_K8S_ENABLE_SECRET_MUTABLE"),
        ),
    )


def refusals(arguments: Object) -> list[tuple[str, str]]:
    """What of the arguments this stand-in does not do: (property, reason)."""
    out = [
        (key, f"the stand-in for the kubernetes plugin has no {key}") for key in NOT_HERE if _truthy(arguments.get(key))
    ]
    if "enableServerSideApply" in arguments and not _truthy(arguments["enableServerSideApply"]):
        out.append(("enableServerSideApply", "the stand-in for the kubernetes plugin has no client-side apply mode"))
    return out


def _flag(arguments: Object, key: str, variable: str) -> bool:
    return _truthy(arguments[key]) if key in arguments else _truthy(os.environ.get(variable))


def _truthy(value: object) -> bool:
    return value is True or (isinstance(value, str) and value.lower() not in ("", "false"))
