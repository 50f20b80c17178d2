"""What was made by hand as the write-up says, taken over: its Deployment handed over, its DaemonSet and pod retired."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from talos_gpu.kube.errors import ClusterRefused, KubeError

if TYPE_CHECKING:
    from talos_gpu.kube.cluster import Cluster

MANAGER = "talos-nvidia-cdi"
"""The field manager that the fields of a taken-over object are handed to."""
SEED_DAEMON_SET, SEED_POD = "nvidia-cdi-init", "nvidia-cdi-generator"
_SYSTEM = "kube-system"
_CONFLICT = 409
_BY_HAND = ("kubectl", "before-first-apply", "helm", "kustomize-controller", "argocd")


class SelectorDiffers(KubeError):
    """A Deployment of the wanted name has another selector, which no update can change."""

    def __init__(self, namespace: str, name: str, have: Mapping[str, Any], want: Mapping[str, str]) -> None:
        said = ",".join(f"{key}={value}" for key, value in sorted((have.get("matchLabels") or have).items()))
        wanted = ",".join(f"{key}={value}" for key, value in sorted(want.items()))
        super().__init__(
            f"Deployment {namespace}/{name} cannot be taken over: its selector is {said}, ours {wanted}, and "
            "a selector never changes",
            remedy=f"kubectl -n {namespace} delete deployment {name}, or give ours another name (tdarr.name)",
        )


async def take_over(cluster: Cluster, namespace: str, name: str, selector: Mapping[str, str]) -> str:
    """Hand what was made by hand of a Deployment over to MANAGER: its next apply then owns, and may drop, every field.

    Returns a sentence of what was done, "" where there was nothing to do. Raises SelectorDiffers.
    """
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments/{name}"
    found = await cluster.fetch(path)
    if found is None:
        return ""
    have = found["spec"]["selector"]
    if have.get("matchLabels") != dict(selector) or have.get("matchExpressions"):
        raise SelectorDiffers(namespace, name, have, selector)
    entries = found["metadata"].get("managedFields") or []
    theirs = [entry for entry in entries if _by_hand(entry)]
    if not theirs:
        return ""
    fields: dict[str, Any] = {}
    for entry in theirs:
        fields = _union(fields, entry.get("fieldsV1") or {})
    ours = {**theirs[0], "manager": MANAGER, "operation": "Apply", "fieldsV1": fields}
    kept = [entry for entry in entries if entry not in theirs and entry.get("manager") != MANAGER]
    metadata = {"resourceVersion": found["metadata"]["resourceVersion"], "managedFields": [*kept, ours]}
    try:
        await cluster.patch(path, {"metadata": metadata})
    except ClusterRefused as refused:
        if refused.status != _CONFLICT:
            raise
        return await take_over(cluster, namespace, name, selector)  # its controller has written to it meanwhile
    return f"Deployment {namespace}/{name} is taken over from {', '.join(sorted({e['manager'] for e in theirs}))}"


async def retire(cluster: Cluster, node: str, label: tuple[str, str], ours: str) -> list[str]:
    """Delete the write-up's installer and generator; returns sentences of what was done, and of what stays and why.

    The installer serves every GPU node of the cluster, so it stays while one of them has no installer of ours
    (`ours` with the node's name in it for `{node}`).
    """
    done = []
    path = f"/apis/apps/v1/namespaces/{_SYSTEM}/daemonsets"
    if _is_the_seeds(await cluster.fetch(f"{path}/{SEED_DAEMON_SET}")):
        nodes = await cluster.fetch("/api/v1/nodes", labelSelector="=".join(label))
        others = [item["metadata"]["name"] for item in (nodes or {}).get("items", [])]
        without = [
            other
            for other in others
            if other != node and await cluster.fetch(f"{path}/{ours.format(node=other)}") is None
        ]
        if without:
            done.append(
                f"DaemonSet {SEED_DAEMON_SET} stays: it also serves {', '.join(without)}, which no stack has taken over"
            )
        else:
            await cluster.delete(f"{path}/{SEED_DAEMON_SET}")
            done.append(f"DaemonSet {SEED_DAEMON_SET}, made by hand, is deleted: ours is ready")
    pod = f"/api/v1/namespaces/{_SYSTEM}/pods/{SEED_POD}"
    found = await cluster.fetch(pod)
    if found is not None and not found["metadata"].get("ownerReferences"):
        await cluster.delete(pod)
        done.append(f"pod {SEED_POD}, made by hand, is deleted")
    return done


def _is_the_seeds(daemon_set: Mapping[str, Any] | None) -> bool:
    """Whether it copies /var/cdi to /var/run/cdi, as the write-up's does: another of that name is none of ours."""
    if daemon_set is None:
        return False
    volumes = daemon_set["spec"]["template"]["spec"].get("volumes") or []
    paths = {(volume.get("hostPath") or {}).get("path", "").rstrip("/") for volume in volumes}
    return {"/var/cdi", "/var/run/cdi"} <= paths


def _by_hand(entry: Mapping[str, Any]) -> bool:
    return not entry.get("subresource") and str(entry.get("manager", "")).startswith(_BY_HAND)


def _union(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    merged = dict(one)
    for key, value in other.items():
        mine = merged.get(key)
        merged[key] = _union(mine, value) if isinstance(mine, dict) and isinstance(value, dict) else value
    return merged
