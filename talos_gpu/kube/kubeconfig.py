"""Which kubeconfig is used, as kubectl chooses it, and how long its client certificate lives; opens files only."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from cryptography import x509

DEFAULT = "~/.kube/config"


def kubeconfig_files(path: Path | str | None = None) -> tuple[Path, ...]:
    """The files that are read, in the order in which they win: `path`, else $KUBECONFIG, else ~/.kube/config.

    Each may be several, separated by ':' as kubectl takes them; those that are not there are left out, unless none is.
    """
    chosen = str(path or "") or os.environ.get("KUBECONFIG") or DEFAULT
    named = [Path(one).expanduser() for one in chosen.split(os.pathsep) if one]
    return tuple(one for one in named if one.is_file()) or tuple(named)


def current_context(files: Sequence[Path]) -> str | None:
    """The context in use: the first file's that sets one; None where none does, or none can be read."""
    return next((str(said) for _, config in _read(files) if (said := config.get("current-context"))), None)


def client_certificate_end(path: Path | None) -> datetime | None:
    """When the client certificate of the current context's user ends; None where that user has none to be read.

    `path` as in `kubeconfig_files`. Never raises: what is wrong with a kubeconfig the cluster's calls say.
    """
    files = kubeconfig_files(path)
    context = _named(files, "contexts", "context", current_context(files))
    if context is None:
        return None
    user = _named(files, "users", "user", context[1].get("user"))
    if user is None:
        return None
    origin, fields = user
    try:
        if "client-certificate-data" in fields:
            pem = base64.b64decode(fields["client-certificate-data"])
        else:
            pem = (origin.parent / Path(fields["client-certificate"]).expanduser()).read_bytes()
        return x509.load_pem_x509_certificate(pem).not_valid_after_utc.astimezone(UTC)
    except (OSError, KeyError, TypeError, ValueError):
        return None


def _read(files: Sequence[Path]) -> list[tuple[Path, Mapping[str, Any]]]:
    found: list[tuple[Path, Mapping[str, Any]]] = []
    for file in files:
        try:
            document = yaml.safe_load(file.read_text(encoding="utf-8"))
        except (OSError, ValueError, yaml.YAMLError):
            continue
        if isinstance(document, dict):
            found.append((file, document))
    return found


def _named(files: Sequence[Path], plural: str, singular: str, name: object) -> tuple[Path, Mapping[str, Any]] | None:
    """An entry of a list by its name and the file that has it; the first one for no name, as the client takes it."""
    for file, config in _read(files):
        entries = config.get(plural)
        for entry in entries if isinstance(entries, list) else ():
            if isinstance(entry, dict) and name in (None, entry.get("name")):
                fields = entry.get(singular)
                return (file, fields) if isinstance(fields, dict) else None
    return None
