"""Takes out of texts what names one machine: GPU UUIDs, its host name, who built its kernel and module."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable

_UUID = re.compile(r"(GPU|MIG)-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_BUILDER = re.compile(r"\(\w+@[\w.-]*\)")
"""Who built the kernel module, in /proc/driver/nvidia/version."""
_KERNEL = re.compile(r"\b(\d+\.\d+\.\d+)-[\w.+-]+")


def hider(host: str | None = None) -> Callable[[str], str]:
    """A function that replaces UUIDs, one by one and always alike, and the host's name (default: this machine's).

    Its domain, where the name has one, goes with it.
    """
    name = socket.gethostname() if host is None else host
    named = re.compile(rf"(?<![\w.-]){re.escape(name)}(?:\.[\w-]+)*(?![\w-])") if len(name) > 2 else None
    seen: dict[str, str] = {}

    def stand_in(found: re.Match[str]) -> str:
        number = len(seen)
        return seen.setdefault(found[0], f"{found[1]}-00000000-0000-0000-0000-{number:012x}")

    def hide(text: str) -> str:
        text = _BUILDER.sub("(builder)", _UUID.sub(stand_in, text))
        return named.sub("HOST", text) if named else text

    return hide


def kernel(release: str) -> str:
    """A kernel's own number without what its packager appended: `6.18.44-generic` -> `6.18.44`."""
    return _KERNEL.sub(r"\1", release)
