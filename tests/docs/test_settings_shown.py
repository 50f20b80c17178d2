"""Settings that pages show are settings that there are: stack files' keys, rollout.yaml by its schema."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
import yaml

from talos_gpu.settings.reference import paths
from tests.docs.blocks import ROOT, Block, blocks

PREFIX = "talos-nvidia-cdi:"
SHOWN = [block for block in blocks() if block.language == "yaml"]
SETTINGS = {path.replace("[]", "") for path, _ in paths()}
ROLLOUT: dict[str, Any] = json.loads((ROOT / "schemas/rollout.json").read_text())


def keys(value: object, at: str) -> Iterator[str]:
    """The path of every key below `at`; what a key of free text holds (`requests`) is not followed."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield f"{at}.{key}".strip(".")
            yield from keys(inner, f"{at}.{key}".strip("."))
    elif isinstance(value, list):
        for inner in value:
            yield from keys(inner, at)


@pytest.mark.parametrize("block", SHOWN, ids=[block.name for block in SHOWN])
def test_what_is_shown_is_known(block: Block) -> None:
    document = yaml.safe_load(block.text)
    if any(key.startswith(PREFIX) for key in document):
        unknown = {path for path in keys(document, "") if path.removeprefix(PREFIX) not in SETTINGS}
        assert unknown == set()
    elif "fleet" in document:
        jsonschema.Draft202012Validator(ROLLOUT).validate(document)
    else:
        properties = {key: ROLLOUT["properties"][key] for key in document}
        schema = {**ROLLOUT, "properties": properties, "required": []}
        jsonschema.Draft202012Validator(schema).validate(document)
