"""The stand-ins speak of the properties that the installed SDKs have types for, in the SDKs' versions."""

from __future__ import annotations

import importlib.metadata
import re
from pathlib import Path
from typing import Any

import pulumi_kubernetes as k8s
import pulumiverse_talos as talos
import pytest

from lab.engine import install, kubernetes
from lab.engine.kubernetes.diff import _FORCE_NEW
from lab.engine.kubernetes.readiness import _CHECKS
from lab.engine.kubernetes.settings import NOT_HERE

SECRET_TYPES = (
    "CertificateResult",
    "CertificatesResult",
    "ClientConfiguration",
    "ClusterResult",
    "KeyResult",
    "KubernetesSecretsResult",
    "MachineSecretsResult",
    "TrustdInfoResult",
)
TALOS = Path(install.HERE, "talos", "cmd", "pulumi-resource-talos")


def inputs_of(resource: type) -> set[str]:
    """The wire names of a resource's inputs."""
    args = resource.__init__.__globals__[f"{resource.__name__}Args"]  # type: ignore[misc]
    return names_of(args)


def names_of(typ: Any) -> set[str]:
    metadata = {name: value for klass in reversed(typ.__mro__) for name, value in vars(klass).items()}
    return {getattr(value.fget, "_pulumi_name", "") for value in metadata.values() if isinstance(value, property)} - {
        ""
    }


def test_the_versions_are_those_of_the_sdks() -> None:
    assert importlib.metadata.version("pulumi-kubernetes") == install.PLUGINS["kubernetes"] == kubernetes.VERSION
    assert importlib.metadata.version("pulumiverse-talos") == install.PLUGINS["talos"]
    assert f'version = "{install.PLUGINS["talos"]}"' in (TALOS / "main.go").read_text()


def test_every_input_of_configuration_apply_is_known_to_the_stand_in() -> None:
    source = (TALOS / "plan.go").read_text() + (TALOS / "node.go").read_text()
    missing = {name for name in inputs_of(talos.machine.ConfigurationApply) if f'"{name}"' not in source}
    assert missing == set()


def test_the_outputs_of_configuration_apply_and_secrets_are_typed_by_the_sdk() -> None:
    apply, secrets = names_of(talos.machine.ConfigurationApply), names_of(talos.machine.Secrets)
    assert {"machineConfiguration", "machineConfigurationHash", "resolvedApplyMode"} <= apply
    assert secrets == {"clientConfiguration", "machineSecrets", "talosVersion"}
    source = (TALOS / "secrets.go").read_text()
    for typ in SECRET_TYPES:
        missing = {name for name in names_of(getattr(talos.machine.outputs, typ)) if f'"{name}"' not in source}
        assert missing == set(), typ


def test_every_refused_or_read_argument_is_one_of_the_provider() -> None:
    source = Path(install.HERE, "kubernetes", "settings.py").read_text()
    known = names_of(k8s.ProviderArgs)
    assert set(NOT_HERE) <= known
    asked = set(re.findall(r'_flag\(arguments, "(\w+)"|arguments\.get\("(\w+)"\)', source))
    assert {one or other for one, other in asked} <= known


@pytest.mark.parametrize(("api_version", "kind"), sorted(_FORCE_NEW))
def test_fields_that_force_a_replacement_are_fields_of_the_kind(api_version: str, kind: str) -> None:
    group, _, version = api_version.rpartition("/")
    module = getattr(getattr(k8s, group.split(".")[0] or "core"), version)
    top = names_of(getattr(module, kind))
    spec = names_of(getattr(module.outputs, f"{kind}Spec")) if hasattr(module.outputs, f"{kind}Spec") else set()
    for field in _FORCE_NEW[api_version, kind]:
        first, _, second = field.partition(".")
        assert first in top and (not second or second in spec), field


def test_awaited_kinds_are_kinds_of_the_sdk() -> None:
    kinds = set(vars(k8s.core.v1)) | set(vars(k8s.apps.v1)) | set(vars(k8s.batch.v1))
    assert set(_CHECKS) <= kinds


def test_a_plugin_folder_says_that_it_holds_a_stand_in(engine: install.Engine) -> None:
    assert install.which(engine.home) == {"kubernetes": "stand-in", "talos": "stand-in"}
    for plugin in install.PLUGINS:
        folder = install.folder_of(engine.home / "plugins", plugin)
        assert "stand-in" in (folder / install.MARK).read_text()
