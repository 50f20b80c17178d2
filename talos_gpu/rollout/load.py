"""From rollout.yaml's text to the model: every fault at once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from talos_gpu.errors import UsageError
from talos_gpu.rollout.errors import RolloutInvalid
from talos_gpu.rollout.model import RolloutFile
from talos_gpu.settings.faults import Fault
from talos_gpu.settings.load import _faults as faults_of
from talos_gpu.talos.yaml_nodes import duplicates


def load(path: Path) -> RolloutFile:
    """The file's model. Raises UsageError if there is no such file, RolloutInvalid with every fault of its content."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"{path} cannot be read: {error}", remedy="write one: docs/rollout.md has the shortest that works"
        ) from None
    return parse(text, str(path))


def parse(text: str, origin: str = "rollout.yaml") -> RolloutFile:
    """The model in a text; `origin` names it in the errors. Raises RolloutInvalid with every fault."""
    try:
        document: Any = yaml.safe_load(text)
        root = yaml.compose(text, yaml.SafeLoader)
    except yaml.reader.ReaderError as error:
        where = f"line {text.count(chr(10), 0, error.position) + 1}"
        rule = f"is not YAML: the character #x{error.character:02x} may not be in it"
        raise RolloutInvalid(origin, [Fault(where, "", rule)]) from None
    except yaml.MarkedYAMLError as error:
        where = f"line {error.problem_mark.line + 1}" if error.problem_mark else "the file"
        raise RolloutInvalid(origin, [Fault(where, "", f"is not YAML: {error.problem}")]) from None
    except (ValueError, TypeError) as error:  # 2025-13-40 is no date, and a sequence no key
        raise RolloutInvalid(origin, [Fault("the file", "", f"is not YAML: {error}")]) from None
    if not isinstance(document, dict):
        raise RolloutInvalid(origin, [Fault("the file", "", "is not a mapping")])
    keys = list(_no_text(document, ""))
    if keys:
        raise RolloutInvalid(origin, keys)
    twice = duplicates(root) if root is not None else ()
    faults = [Fault(f"line {line}", repr(key), "is there twice in one mapping") for line, key in twice]
    try:
        model = RolloutFile.model_validate_json(json.dumps(document, default=str), strict=True)
    except ValidationError as error:
        told = [each for each in error.errors() if not _echo(each)]
        faults += [_named(fault) for fault in faults_of("", RolloutFile, told, hidden=False)]
    if faults:
        raise RolloutInvalid(origin, faults)
    return model


def _no_text(value: object, path: str) -> Iterator[Fault]:
    """Keys that YAML reads as what JSON has no key for: dates."""
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str | int | float | None):
                yield Fault(f"{path}{key}", "", "is a key and not text", "quote it")
            yield from _no_text(item, f"{path}{key}.")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _no_text(item, f"{path.removesuffix('.')}[{index}].")


def _echo(error: ErrorDetails) -> bool:
    """Whether it only says that a list is empty once its faulty items are left out."""
    return error["type"] == "too_short" and bool(error["input"])


def _named(fault: Fault) -> Fault:
    rule = "is empty" if fault.value == "[]" else fault.rule
    return Fault(
        fault.path.removeprefix(".") or "the file", "" if rule == "is empty" else fault.value, rule, fault.remedy
    )
