"""From the settings' volumes to the pod's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from talos_gpu.settings import Volume


def pod_volumes(volumes: Sequence[Volume]) -> list[dict[str, Any]]:
    """The pod's `volumes`."""
    return [{"name": volume.name, **_source(volume)} for volume in volumes]


def mounts(volumes: Sequence[Volume]) -> list[dict[str, Any]]:
    """The container's `volumeMounts`."""
    return [{"name": volume.name, "mount_path": volume.path, "read_only": volume.read_only} for volume in volumes]


def _source(volume: Volume) -> dict[str, Any]:
    if volume.pvc is not None:
        return {"persistent_volume_claim": {"claim_name": volume.pvc.claim, "read_only": volume.read_only}}
    if volume.nfs is not None:
        source = {"server": volume.nfs.server, "path": volume.nfs.path, "read_only": volume.read_only}
        return {"nfs": source}
    if volume.empty_dir is not None:
        limit = {"size_limit": volume.empty_dir.size_limit} if volume.empty_dir.size_limit else {}
        return {"empty_dir": {"medium": volume.empty_dir.medium, **limit}}
    if volume.host_path is not None:
        return {"host_path": {"path": volume.host_path.path}}  # type stays empty: Talos's kubelet sees no host folders
    raise ValueError(f"volume {volume.name} has no source")
