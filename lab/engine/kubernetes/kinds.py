"""Which resource types are kinds of the server, and which are not part of this stand-in."""

from __future__ import annotations

from lab.engine.kubernetes.wire import Object

_NOT_KINDS = ("helm.sh", "yaml", "kustomize")


def refusal(token: str) -> str:
    """Why a type is not part of this stand-in; empty when it is a kind of the server."""
    parts = token.split(":")
    here = len(parts) == 3 and "/" in parts[1] and parts[1].split("/")[0] not in _NOT_KINDS
    if not here or parts[2].endswith("Patch"):
        return f"{token} is not part of this stand-in for the kubernetes plugin; install the official plugin"
    if parts[2].endswith("List"):
        return (
            "list resources exist for compatibility with YAML manifests and Helm charts, and cannot be created directly"
        )
    return ""


def object_of(token: str) -> Object:
    """An object of the type, without a name."""
    _, version, kind = token.split(":")
    return {"apiVersion": version.removeprefix("core/"), "kind": kind}
