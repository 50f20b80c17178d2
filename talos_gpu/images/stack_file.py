"""Images in a stack file: which there are, and writing others in their place while every other byte stays."""

from __future__ import annotations

from collections.abc import Mapping

import yaml

from talos_gpu.errors import UsageError
from talos_gpu.project import PROJECT
from talos_gpu.settings import Settings


class PlaceUnclear(UsageError):
    """Where an image stands in the file cannot be changed by splice."""

    def __init__(self, key: str, image: str) -> None:
        top, _, leaf = key.partition(".")
        super().__init__(
            f"{PROJECT}:{key} is not written in a way that can be changed in place",
            remedy=f"write it as plain text in a block under {PROJECT}:{top}, {leaf}: {image}",
        )


def images(settings: Settings) -> dict[str, str]:
    """Key -> image of everything that the stack runs: `cdi.image`, `tdarr.image`."""
    found = {"cdi.image": settings.cdi.image} if settings.cdi.method == "spec" else {}
    if settings.tdarr is not None:
        found["tdarr.image"] = settings.tdarr.image
    return found


def replaced(text: str, changes: Mapping[str, str]) -> str:
    """A stack file's text with images by key; a key that is not there (a default) is added.

    Comments, order and quoting stay. Raises PlaceUnclear where the image is an alias, anchored, or in JSON text.
    """
    for key, image in changes.items():
        text = _one(text, key, image)
    return text


def _one(text: str, key: str, image: str) -> str:
    top, _, leaf = key.partition(".")
    config = _entry(yaml.compose(text, Loader=yaml.SafeLoader), "config")
    if not isinstance(config, yaml.MappingNode) or not config.value:
        raise PlaceUnclear(key, image)
    section = _entry(config, f"{PROJECT}:{top}")
    if section is None:
        return _insert(text, config, f"{PROJECT}:{top}:", f"  {leaf}: {image}", key=key, image=image)
    found = _entry(section, leaf)
    if found is None:
        return _insert(text, section, f"{leaf}: {image}", key=key, image=image)
    start, end = found.start_mark.index, found.end_mark.index
    written = text[start:end]
    quote = written[:1] if written[:1] in ("'", '"') else ""
    if not isinstance(found, yaml.ScalarNode) or written != f"{quote}{found.value}{quote}":
        raise PlaceUnclear(key, image)
    return f"{text[:start]}{quote}{image}{quote}{text[end:]}"


def _entry(node: yaml.Node | None, key: str) -> yaml.Node | None:
    if not isinstance(node, yaml.MappingNode):
        return None
    return next((value for name, value in node.value if name.value == key), None)


def _insert(text: str, into: yaml.Node, *lines: str, key: str, image: str) -> str:
    """Lines before a block mapping's first entry, at its indentation."""
    if not isinstance(into, yaml.MappingNode) or into.flow_style or not into.value:
        raise PlaceUnclear(key, image)
    first = into.value[0][0].start_mark
    margin = text[first.index - first.column : first.index]
    if margin.strip():
        raise PlaceUnclear(key, image)
    return text[: first.index] + "".join(f"{line}\n{margin}" for line in lines) + text[first.index :]
