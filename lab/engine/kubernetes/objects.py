"""Names, namespaces and annotations of an object (metadata/*.go of the official plugin)."""

from __future__ import annotations

import copy

from lab.engine.kubernetes.wire import Object

AUTONAMED = "pulumi.com/autonamed"
SKIP_AWAIT = "pulumi.com/skipAwait"
WAIT_FOR = "pulumi.com/waitFor"
TIMEOUT_SECONDS = "pulumi.com/timeoutSeconds"
REPLACE_UNREADY = "pulumi.com/replaceUnready"
PATCH_FORCE = "pulumi.com/patchForce"
PATCH_FIELD_MANAGER = "pulumi.com/patchFieldManager"
DELETION_PROPAGATION = "pulumi.com/deletionPropagationPolicy"

_CLUSTER_SCOPED = frozenset(
    (
        "APIService",
        "CertificateSigningRequest",
        "ClusterRole",
        "ClusterRoleBinding",
        "CSIDriver",
        "CSINode",
        "CustomResourceDefinition",
        "IngressClass",
        "MutatingWebhookConfiguration",
        "Namespace",
        "Node",
        "PersistentVolume",
        "PriorityClass",
        "RuntimeClass",
        "StorageClass",
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
        "ValidatingWebhookConfiguration",
        "VolumeAttachment",
    )
)


def is_cluster_scoped(kind: str) -> bool:
    """Whether a kind of Kubernetes itself lives outside namespaces; for when no server can be asked."""
    return kind in _CLUSTER_SCOPED


def metadata(obj: Object) -> Object:
    """The metadata; empty when there is none or it is not known yet."""
    found = obj.get("metadata")
    return found if isinstance(found, dict) else {}


def name_of(obj: Object) -> str:
    """metadata.name, or an empty string."""
    return str(metadata(obj).get("name") or "")


def namespace_of(obj: Object) -> str:
    """metadata.namespace, or an empty string."""
    return str(metadata(obj).get("namespace") or "")


def kind_of(obj: Object) -> str:
    """The kind."""
    return str(obj.get("kind") or "")


def api_version_of(obj: Object) -> str:
    """The apiVersion; the SDK's `core/v1` is the server's `v1`."""
    return str(obj.get("apiVersion") or "").removeprefix("core/")


def qualified(obj: Object) -> str:
    """`namespace/name`, or the name alone: a resource's ID in the state."""
    namespace = namespace_of(obj)
    return f"{namespace}/{name_of(obj)}" if namespace else name_of(obj)


def annotation(obj: Object, key: str) -> str:
    """An annotation's value, or an empty string."""
    annotations = metadata(obj).get("annotations")
    return str(annotations.get(key) or "") if isinstance(annotations, dict) else ""


def is_true(obj: Object, key: str) -> bool:
    """Whether an annotation is set to `true`."""
    return annotation(obj, key).lower() == "true"


def named(inputs: Object, old: Object, resource: str, seed: bytes) -> Object:
    """The inputs with a name: the program's, else the one given before, else RESOURCE-xxxxxxxx from the seed."""
    out = copy.deepcopy(inputs)
    meta = out.setdefault("metadata", {})
    if not isinstance(meta, dict) or meta.get("name"):
        return out
    if old and is_true(old, AUTONAMED):
        meta["name"] = name_of(old)
    else:
        meta["name"] = f"{resource.lower()}-{seed.hex()[:8]}"
    meta["annotations"] = {**(meta.get("annotations") or {}), AUTONAMED: "true"}
    return out


def propagation_of(obj: Object) -> str:
    """The deletion's propagationPolicy: foreground unless the annotation says otherwise."""
    said = annotation(obj, DELETION_PROPAGATION).capitalize()
    return said if said in ("Orphan", "Background", "Foreground") else "Foreground"


def timeout_of(obj: Object, custom: float, default: float) -> float:
    """Seconds to wait: customTimeouts, else the annotation, else the default of the kind."""
    if custom > 0:
        return custom
    said = annotation(obj, TIMEOUT_SECONDS)
    return float(said) if said.isdecimal() else default
