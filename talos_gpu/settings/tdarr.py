"""Settings of the workload: the Tdarr worker, its namespace and its volumes."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from talos_gpu.settings.base import Strict
from talos_gpu.settings.rules import (
    AbsolutePath,
    GroupId,
    Host,
    Image,
    Name,
    NodeName,
    Quantity,
    ResourceName,
    Text,
    Url,
)


class Namespace(Strict):
    """The namespace of the worker."""

    name: Name = Field(default="media", title="Name", description="The namespace's name.")
    create: bool = Field(
        default=True,
        title="Create",
        description="Whether this stack makes it. It stays on destroy: other stacks may use it.",
    )
    pod_security: Literal["privileged", "baseline", "restricted"] | None = Field(
        default=None,
        title="PodSecurity level",
        description="`enforce` level: set where this stack makes the namespace, taken as a fact where it does not. "
        "Default: the cluster's (Talos: baseline).",
    )


class PersistentVolumeClaim(Strict):
    """A PersistentVolumeClaim: an existing one by name, or with a size a new one."""

    claim: Name = Field(title="Claim", description="The claim's name.")
    size: Quantity | None = Field(
        default=None, title="Size", description="With a size this stack makes the claim; it stays on destroy."
    )
    storage_class: NodeName | None = Field(
        default=None, title="Storage class", description="Of a new claim; default: the cluster's."
    )
    access_mode: Literal["ReadWriteOnce", "ReadWriteMany"] = Field(
        default="ReadWriteOnce", title="Access mode", description="Of a new claim."
    )


class Nfs(Strict):
    """A folder of an NFS server."""

    server: Host = Field(title="Server", description="Name or address.")
    path: AbsolutePath = Field(title="Path", description="The exported folder.")


class EmptyDir(Strict):
    """A folder that lives as long as the pod."""

    size_limit: Quantity | None = Field(default=None, title="Size limit", description="Default: none.")
    medium: Literal["", "Memory"] = Field(default="", title="Medium", description="`Memory`: a tmpfs.")


class HostPath(Strict):
    """A folder of the node; needs a namespace whose PodSecurity level is `privileged`."""

    path: AbsolutePath = Field(title="Path", description="The folder on the node.")


class Volume(Strict):
    """A volume of the worker: exactly one of pvc, nfs, empty_dir, host_path."""

    name: Name = Field(title="Name", description="Unique among the volumes: config, media, temp, ...")
    path: AbsolutePath = Field(
        title="Mount path", description="In the container; media and temp at the Tdarr server's own paths."
    )
    read_only: bool = Field(default=False, title="Read only", description="Mount it read-only.")
    pvc: PersistentVolumeClaim | None = Field(default=None, title="PVC", description="A PersistentVolumeClaim.")
    nfs: Nfs | None = Field(default=None, title="NFS", description="A folder of an NFS server.")
    empty_dir: EmptyDir | None = Field(default=None, title="emptyDir", description="Lives as long as the pod.")
    host_path: HostPath | None = Field(default=None, title="hostPath", description="A folder of the node.")

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        given = [key for key in ("pvc", "nfs", "empty_dir", "host_path") if getattr(self, key) is not None]
        if len(given) != 1:
            has = " and ".join(given) or "none"
            raise PydanticCustomError(
                "rule",
                "{message}",
                {
                    "message": f"needs exactly one of pvc, nfs, empty_dir and host_path, has {has}",
                    "remedy": "",
                    "whole": True,
                },
            )
        return self


class Resources(Strict):
    """Requests and limits of the worker's container."""

    requests: dict[ResourceName, Quantity] = Field(
        default_factory=dict,
        title="Requests",
        description="Quantities by resource: `cpu`, `memory`, `ephemeral-storage`, `hugepages-2Mi`, or an extended "
        "one with its domain.",
    )
    limits: dict[ResourceName, Quantity] = Field(
        default_factory=dict, title="Limits", description="Quantities by resource."
    )


class Tdarr(Strict):
    """The Tdarr worker on this node's GPU."""

    image: Image = Field(title="Image", description="The worker's image; of the same version as the server's.")
    server_url: Url = Field(title="Server URL", description="`serverURL`: where the worker reports to.")
    node_name: Text | None = Field(
        default=None, title="Worker name", description="`nodeName`; default: the Deployment's name."
    )
    name: Name | None = Field(
        default=None, title="Deployment name", description="Default: `tdarr-node-gpu-` and the node's name."
    )
    ffmpeg_version: Text = Field(
        default="6", title="ffmpeg", description="`ffmpegVersion`; driver 535 needs 6 (NVENC API 13 needs 570)."
    )
    driver_capabilities: Text = Field(
        default="compute,video,utility",
        title="Driver capabilities",
        description="`NVIDIA_DRIVER_CAPABILITIES`; legacy injection obeys it, CDI injects everything.",
    )
    visible_devices: Text | None = Field(
        default=None,
        title="Devices",
        description="`NVIDIA_VISIBLE_DEVICES`; default: every GPU of the node, in the method's words.",
    )
    supplemental_groups: tuple[GroupId, ...] = Field(
        default=(44,), title="Supplemental groups", description="44: the group of the DRM nodes in the udev rules."
    )
    readiness: Literal["nvidia-smi", "none"] = Field(
        default="nvidia-smi",
        title="Readiness",
        description="`nvidia-smi`: Ready while `nvidia-smi -L` in the container finds a GPU. `none`: once it runs.",
    )
    namespace: Namespace = Field(default_factory=Namespace, title="Namespace", description="Where the worker runs.")
    resources: Resources = Field(default_factory=Resources, title="Resources", description="Of the worker's container.")
    volumes: tuple[Volume, ...] = Field(default=(), title="Volumes", description="Config, media, temp, ...")
