"""From answers to a stack file's text, judged as the program will judge it."""

from __future__ import annotations

from typing import Any

import yaml

from talos_gpu.errors import UsageError
from talos_gpu.project import PROJECT
from talos_gpu.settings.load import parse
from talos_gpu.stack_new.ask import FLAGS, NONE, Answers
from talos_gpu.talos.releases import spelled, strategy_for

_WHY = {
    "jit-cdi": "because the spec is made in memory at each container's start: nothing to generate, patch or keep",
    "native": "because the system makes the spec itself at each boot",
    "spec": "because the spec is made once on the host, patched, and installed at each boot",
    "sysctl": "which lowers the node's hardening of BPF programs",
}
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


def proposed(talos: str) -> str:
    """The method that fits a release best, as a stack file spells it. Raises UnknownRelease."""
    return spelled(strategy_for(talos).methods[0])


def why(method: str, talos: str) -> str:
    """A sentence for the person: which method the file has, and how to have another."""
    release = strategy_for(talos)
    others = ", ".join(spelled(other) for other in release.methods if spelled(other) != method)
    another = f"; --method takes another: {others}" if others else ""
    return f"cdi.method: {method} on Talos {release.minor}, {_WHY[method]}{another}"


def _values(answers: Answers) -> dict[str, Any]:
    node: dict[str, Any] = {"name": answers.node, "address": answers.address}
    node |= {"endpoint": answers.endpoint} if answers.endpoint else {}
    node |= {
        "talos": answers.talos,
        "gpu": {"model": answers.gpu, "driver": answers.driver, "memory_mib": answers.memory_mib},
    }
    values: dict[str, Any] = {
        "node": node,
        "machine": {"base": answers.base, "reboot": "allow"},
        "cdi": {"method": answers.method or proposed(answers.talos)},
    }
    if answers.server_url not in ("", NONE):
        values["tdarr"] = {
            "image": answers.tdarr_image,
            "server_url": answers.server_url,
            "namespace": {"name": "media", "create": False},
            "volumes": [{"name": "temp", "path": "/temp", "empty_dir": {}}],
        }
    values |= {"talosconfig": answers.talosconfig} if answers.talosconfig else {}
    values |= {"talos_context": answers.talos_context} if answers.talos_context else {}
    return values
