"""From answers to a stack file's text, judged as the program will judge it."""

from __future__ import annotations

from typing import Any

import yaml

from talos_gpu.errors import UsageError
from talos_gpu.project import PROJECT
from talos_gpu.settings.load import parse
from talos_gpu.stack_new.ask import FLAGS, NONE, Answers
from talos_gpu.talos.releases import strategy_for

HEAD = "# yaml-language-server: $schema=schemas/stack.json\n"


def text_of(answers: Answers) -> str:
    """The stack file. Raises UsageError for what is missing, SettingsInvalid or UnknownRelease for what is wrong."""
    if answers.missing:
        flags = ", ".join(FLAGS[name] for name in answers.missing)
        raise UsageError(f"not known: {', '.join(answers.missing)}", remedy=f"say {flags}, or --ask")
    values = _values(answers)
    parse(values)
    document = {"config": {f"{PROJECT}:{key}": value for key, value in values.items()}}
    return HEAD + yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120)


def _values(answers: Answers) -> dict[str, Any]:
    node: dict[str, Any] = {"name": answers.node, "address": answers.address}
    node |= {"endpoint": answers.endpoint} if answers.endpoint else {}
    node |= {
        "talos": answers.talos,
        "gpu": {"model": answers.gpu, "driver": answers.driver, "memory_mib": answers.memory_mib},
    }
    native = strategy_for(answers.talos).native
    values: dict[str, Any] = {
        "node": node,
        "machine": {"base": answers.base, "reboot": "allow"},
        "cdi": {"method": "native" if native else "spec"},
    }
    if answers.server_url not in ("", NONE):
        values["tdarr"] = {
            "image": answers.tdarr_image,
            "server_url": answers.server_url,
            "namespace": {"name": "media", "create": False},
            "volumes": [{"name": "temp", "path": "/temp", "empty_dir": {}}],
        }
    values |= {"talosconfig": answers.talosconfig} if answers.talosconfig else {}
    return values
