"""What of a machine config restarts a node, as digests: kept in the state in clear, compared without node and config.

A preview knows the config that was last applied only by what the state holds, and the config is a secret. So the state
holds a digest for each key that a running machine does not take. The digests are keyed with the cluster's own secrets,
which are in every machine config: who has the state alone can try no guess of a value.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator, Mapping
from typing import Any

from talos_gpu.talos.reboot import LIVE, RebootReason, plain, reason
from talos_gpu.talos.releases import ReleaseFacts

_SEAL = "(seal)"
"""The entry that tells whether two footprints have the same key."""
_FILES = "machine.files"
_ORDER = f"{_FILES} (order)"
_LENGTH = 16


def footprint(config: str) -> dict[str, str]:
    """Return a digest by key that restarts a node; empty where the config has no secret to key them with.

    Raises MachineConfigInvalid if the config cannot be read.
    """
    values = plain(config)
    secrets = [_at(values, "machine", "token"), _at(values, "cluster", "secret")]
    if not any(secrets):
        return {}
    secret = json.dumps(secrets)
    found = {key: _digest(secret, value) for key, value in _restarting(values, "")}
    return {_SEAL: _digest(secret, _SEAL), **found}


def reasons_between(
    old: Mapping[str, str], new: Mapping[str, str], release: ReleaseFacts
) -> tuple[RebootReason, ...] | None:
    """Return why going from one footprint to another restarts the node; None where they cannot be compared."""
    if not old or not new or old.get(_SEAL) != new.get(_SEAL):
        return None
    moved = sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))
    if any(key.startswith(f"{_FILES}:") for key in moved):
        moved = [key for key in moved if key != _ORDER]
    return tuple(found for key in moved if (found := reason(key, release)) is not None)


def _restarting(values: Mapping[str, Any], path: str) -> Iterator[tuple[str, object]]:
    for key in sorted(values.keys() - LIVE[path]):
        here, value = f"{path}.{key}" if path else key, values[key]
        if here in LIVE and isinstance(value, dict):
            yield from _restarting(value, here)
        elif here == _FILES and isinstance(value, list):
            yield from _files(value)
        else:
            yield here, value


def _files(entries: list[Any]) -> Iterator[tuple[str, object]]:
    by_path: dict[str, list[Any]] = {}
    for entry in entries:
        path = entry.get("path") if isinstance(entry, dict) else None
        by_path.setdefault(path[1] if isinstance(path, tuple) else "(no path)", []).append(entry)
    for path, found in by_path.items():
        yield f"{_FILES}: {path}", found
    yield _ORDER, list(by_path)


def _at(values: Mapping[str, Any], *path: str) -> object:
    found: Any = values
    for key in path:
        found = found.get(key) if isinstance(found, dict) else None
    return found


def _digest(secret: str, value: object) -> str:
    text = json.dumps(value, sort_keys=True)
    return hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()[:_LENGTH]
