"""From rollout.yaml's text to the model: every fault at once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from talos_gpu.errors import UsageError
from talos_gpu.rollout.errors import RolloutInvalid
from talos_gpu.rollout.model import RolloutFile
from talos_gpu.settings.faults import Fault
from talos_gpu.settings.load import _faults as faults_of


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
    except yaml.MarkedYAMLError as error:
        where = f"line {error.problem_mark.line + 1}" if error.problem_mark else "the file"
        raise RolloutInvalid(origin, [Fault(where, "", f"is not YAML: {error.problem}")]) from None
    if not isinstance(document, dict):
        raise RolloutInvalid(origin, [Fault("the file", "", "is not a mapping")])
    try:
        return RolloutFile.model_validate_json(json.dumps(document, default=str), strict=True)
    except ValidationError as error:
        faults = [_named(fault) for fault in faults_of("", RolloutFile, error.errors(), hidden=False)]
        raise RolloutInvalid(origin, faults) from None


def _named(fault: Fault) -> Fault:
    return Fault(fault.path.removeprefix(".") or "the file", fault.value, fault.rule, fault.remedy)
