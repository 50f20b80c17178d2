"""Evidence: texts by key, which are paths in a folder, and why others are not there.

A bundle is a folder that a person can make by hand and attach to an issue:
  meta.json            what the stack says: node, release, method, GPU
  host/PATH            files of the node as they are: host/proc/devices, host/var/run/cdi/nvidia.yaml
  lists/PATH.txt       a folder's entries, one a line: `0666 nvidia0`, or lines of `ls -l`
  talos/*.json, *.txt  version, extensions, modules, services, dmesg
  cluster/*.json       node, pods, events, daemonsets, deployments, jobs, replicasets,
                       runtimeclasses
  cluster/logs/NAMESPACE_POD.txt
  texts/NAME           any other text: what it tells is looked up
  unread.json          why something is not there, by key
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from talos_gpu.doctor.errors import BundleInvalid, Unread

META, UNREAD = "meta.json", "unread.json"
TEXTS = "texts/"
_NOT_GATHERED = "it is not in the bundle"
NOT_THERE = "it is not there"
_LARGEST = 16 * 1024 * 1024


def host(path: str) -> str:
    """The key of a file of the node."""
    return f"host{path}"


def listing(folder: str) -> str:
    """The key of a folder's entries."""
    return f"lists{folder}.txt"


@dataclass(frozen=True, slots=True)
class Bundle:
    """Evidence as texts; pure."""

    texts: Mapping[str, str]
    unread: Mapping[str, str] = field(default_factory=dict)
    """Why a key is not in `texts`; "" where it was looked for and is not there."""

    def text(self, key: str) -> str:
        """The text; raises Unread where it is not there and was not looked for."""
        if key in self.texts:
            return self.texts[key]
        raise Unread(key, self.unread.get(key, _NOT_GATHERED) or NOT_THERE)

    def optional(self, key: str) -> str | None:
        """The text, None where it was looked for and is not on the node; raises Unread where it was not looked for."""
        if key not in self.texts and self.unread.get(key) == "":
            return None
        return self.text(key)

    def json(self, key: str) -> Any:  # noqa: ANN401 (JSON)
        """The value of a JSON text; raises Unread also where it is none."""
        text = self.text(key)
        try:
            return json.loads(text)
        except json.JSONDecodeError as error:
            raise Unread(key, f"it is no JSON: {error}") from None

    def folder(self, prefix: str) -> dict[str, str]:
        """The texts under a prefix, by the rest of their key."""
        return {key[len(prefix) :]: text for key, text in sorted(self.texts.items()) if key.startswith(prefix)}


def save(bundle: Bundle, folder: Path) -> None:
    """Write a bundle into a folder that is empty or not there."""
    if folder.exists() and any(folder.iterdir()):
        raise BundleInvalid(str(folder), "it is not empty")
    for key, text in {**bundle.texts, UNREAD: json.dumps(dict(bundle.unread), indent=1)}.items():
        path = folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def load(folder: Path) -> Bundle:
    """Read a bundle; files that lie about loosely are taken for what their name and content say they are."""
    if not folder.is_dir():
        raise BundleInvalid(str(folder), "it is no folder")
    texts: dict[str, str] = {}
    unread: dict[str, str] = {}
    loose: dict[str, str] = {}
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or path.is_symlink() or path.stat().st_size > _LARGEST:
            continue
        key, text = path.relative_to(folder).as_posix(), path.read_text(encoding="utf-8", errors="replace")
        if key == UNREAD:
            unread = _reasons(folder, text)
        elif key == META or key.startswith(("host/", "lists/", "talos/", "cluster/", TEXTS)):
            texts[key] = text
        else:
            loose[key] = text
    from talos_gpu.doctor.loose import recognised  # noqa: PLC0415 (it makes this module's keys)

    for key, text in recognised(loose).items():
        texts.setdefault(key, text)
    if not texts:
        raise BundleInvalid(str(folder), "nothing in it is known evidence")
    return Bundle(texts, unread)


def _reasons(folder: Path, text: str) -> dict[str, str]:
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        raise BundleInvalid(str(folder), f"{UNREAD} is no JSON: {error}") from None
    if not isinstance(document, dict):
        raise BundleInvalid(str(folder), f"{UNREAD} is {type(document).__name__}, not an object of reasons by key")
    return {str(name): str(reason) for name, reason in document.items()}
