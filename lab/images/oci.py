"""OCI image layout of one layer in a tar, as `ctr images import` reads it (opencontainers/image-spec v1.1)."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from lab.errors import BuildFailed

_MEDIA_TYPE = "application/vnd.oci.image."
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def digest(content: bytes) -> str:
    """The OCI digest of `content`."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _descriptor(kind: str, content: bytes) -> dict[str, object]:
    return {"mediaType": _MEDIA_TYPE + kind, "digest": digest(content), "size": len(content)}


def _json(document: object) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def write_archive(
    out: Path, name: str, layer: bytes, *, entrypoint: Sequence[str], cmd: Sequence[str], env: Mapping[str, str]
) -> str:
    """Write the image `name` of the layer (an uncompressed tar) to `out`, at once or not at all; returns its digest."""
    packed = gzip.compress(layer, 1, mtime=0)
    settings: dict[str, object] = {"Env": [f"{key}={value}" for key, value in {"PATH": PATH, **env}.items()]}
    if entrypoint:
        settings["Entrypoint"] = list(entrypoint)
    if cmd:
        settings["Cmd"] = list(cmd)
    config = _json(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": settings,
            "rootfs": {"type": "layers", "diff_ids": [digest(layer)]},
        }
    )
    manifest = _json(
        {
            "schemaVersion": 2,
            "mediaType": _MEDIA_TYPE + "manifest.v1+json",
            "config": _descriptor("config.v1+json", config),
            "layers": [_descriptor("layer.v1.tar+gzip", packed)],
        }
    )
    named = {
        **_descriptor("manifest.v1+json", manifest),
        "platform": {"architecture": "amd64", "os": "linux"},
        "annotations": {"io.containerd.image.name": name, "org.opencontainers.image.ref.name": name.rpartition(":")[2]},
    }
    index = _json({"schemaVersion": 2, "mediaType": _MEDIA_TYPE + "index.v1+json", "manifests": [named]})
    blobs = {f"blobs/sha256/{digest(blob)[7:]}": blob for blob in (config, manifest, packed)}
    partial = out.with_name(f".{out.name}.{os.getpid()}.partial")
    try:
        with tarfile.open(partial, "w", format=tarfile.GNU_FORMAT) as archive:
            for path, content in {
                "oci-layout": _json({"imageLayoutVersion": "1.0.0"}),
                "index.json": index,
                **blobs,
            }.items():
                member = tarfile.TarInfo(path)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
        partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)
    return digest(manifest)


def name_and_digest(archive: Path) -> tuple[str, str]:
    """Of the image in an archive of write_archive's: `lab.local/pause:1`, `sha256:...`."""
    with tarfile.open(archive) as members:
        index = members.extractfile("index.json")
        if index is None:
            raise BuildFailed(archive.name, "its index.json is no file")
        [manifest] = json.load(index)["manifests"]
    return manifest["annotations"]["io.containerd.image.name"], manifest["digest"]


def pinned(archives: Path, image: str) -> str:
    """An image by tag and digest, as the latest of these archives has it; one that none has is left as it is."""
    found = image
    for archive in sorted(archives.glob("*.tar"), key=lambda path: path.stat().st_mtime):
        name, digest_of = name_and_digest(archive)
        if name == image:
            found = f"{name}@{digest_of}"
    return found
