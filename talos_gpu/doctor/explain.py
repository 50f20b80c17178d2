"""From an error text to cause and remedy; says so where it does not know."""

from __future__ import annotations

import re
from dataclasses import dataclass

from talos_gpu.doctor import known
from talos_gpu.verify import words

_ESCAPES = re.compile(r"\x1b\[[0-9;]*m")
_FFMPEG_ADDRESS = re.compile(r" @ 0x[0-9a-f]+")


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a text means."""

    name: str
    words: str
    """The part of the text that tells it."""
    cause: str
    remedy: str
    source: str


_GENERAL = {
    "device-unresolvable": ("spec-conflict", "spec-invalid"),
    "legacy-cgroup": ("legacy-blinded",),
    "gpu-xid": ("gpu-lost",),
    "cuinit-100": ("no-device",),
    "cuinit-803": ("driver-mismatch",),
    "no-capable-gpu": ("*",),
    "codec-unsupported": (),
}
"""Texts that only follow from others: left out where one of those is there (`*`: any)."""


def explain(text: str) -> list[Explanation]:
    """Every cause that the text tells, the deepest first; empty where nothing in it is known.

    Lines are joined first: error messages come wrapped, in quotes, with colours. So that two lines which have nothing
    to do with each other make no third, a pattern's gaps are short, and its words are the program's own.
    """
    plain = _FFMPEG_ADDRESS.sub("", _ESCAPES.sub("", text.replace("\r", "\n").replace('\\"', '"')))
    joined = " ".join(plain.split())
    found = [
        Explanation(one.name, match[0][:200], one.cause, one.remedy, one.source)
        for one in known.ALL
        if (match := one.pattern.search(joined)) is not None
    ]
    for entry in words.ALL:
        cause, match = entry.match(joined), entry.pattern.search(joined)
        if cause is not None and match is not None:
            found.append(Explanation(cause.name, match[0][:200], cause.sentence, cause.remedy, cause.source))
    names = {one.name for one in found}
    return [one for one in found if not _follows(one.name, names)]


def _follows(name: str, names: set[str]) -> bool:
    deeper = _GENERAL.get(name, ())
    return bool(names & set(deeper)) or (deeper == ("*",) and len(names) > 1)
