"""The settings of a stack by its file, for programs that run outside Pulumi."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from talos_gpu.errors import UsageError
from talos_gpu.project import PROJECT
from talos_gpu.settings.load import parse
from talos_gpu.settings.model import Settings


def stack_files(project: Path) -> dict[str, Path]:
    """Stack names and their files in a project's folder, sorted by name."""
    return dict(sorted((path.name[len("Pulumi.") : -len(".yaml")], path) for path in _files(project)))


def _files(project: Path) -> Iterator[Path]:
    return project.glob("Pulumi.?*.yaml")


def stack_settings(path: Path) -> Settings:
    """The settings in a stack file. Encrypted values stay unread: their keys count as not set.

    Raises UsageError if the file cannot be read as one, SettingsInvalid with every fault of what is in it.
    """
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        known = ", ".join(stack_files(path.parent)) or "none"
        raise UsageError(f"there is no stack file {path}", remedy=f"stacks there: {known}") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UsageError(f"the stack file {path} cannot be read: {error}", remedy="mend or restore it") from None
    config: Any = document.get("config") if isinstance(document, dict) else None
    if not isinstance(config, dict):
        raise UsageError(f"the stack file {path} has no config", remedy="see docs/settings.md for its keys")
    prefix = f"{PROJECT}:"
    values = {str(key).removeprefix(prefix): value for key, value in config.items() if str(key).startswith(prefix)}
    return parse({key: value for key, value in values.items() if not _encrypted(value)})


def _encrypted(value: Any) -> bool:  # noqa: ANN401 (YAML)
    return isinstance(value, dict) and value.keys() == {"secure"}
