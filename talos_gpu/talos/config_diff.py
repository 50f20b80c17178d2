"""What changes from one machine config to another, for people: a unified diff that shows no secret."""

from __future__ import annotations

import difflib

from talos_gpu.talos.redaction import redact_config

_CONTEXT = 3


def config_diff(old: str, new: str, *, names: tuple[str, str] = ("base", "rendered"), lengths: bool = False) -> str:
    """Return a unified diff of two machine configs, "" if they are the same.

    Only the GPU's own fields are shown with their values (talos_gpu.talos.redaction); a change of a hidden value is
    not seen here, with `lengths` one of its length is. Raises MachineConfigInvalid if one cannot be read.
    """
    before, after = (_ended(redact_config(text, lengths=lengths)).splitlines(keepends=True) for text in (old, new))
    return "".join(difflib.unified_diff(before, after, *names, n=_CONTEXT))


def _ended(text: str) -> str:
    return text if not text or text.endswith("\n") else text + "\n"
