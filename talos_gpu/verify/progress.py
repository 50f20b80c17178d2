"""ffmpeg's own account of a run: `-progress pipe:1`."""

from __future__ import annotations

import re
from dataclasses import dataclass

_PAIR = re.compile(r"^(frame|fps|speed|progress)=\s*(\S+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Progress:
    """The last values of a run."""

    frames: int
    fps: float
    """Pictures a second; in short runs ffmpeg says 0, then it is made of the speed and the clip's rate."""
    speed: float | None
    """Times real time; None where ffmpeg says N/A."""
    ended: bool
    """ffmpeg came to its own end."""


def parse(text: str, rate: float) -> Progress:
    """The last of each key in ffmpeg's progress; `rate` is the clip's pictures a second."""
    last = {"frame": "0", "fps": "0", "speed": "N/A", "progress": ""}
    last.update(_PAIR.findall(text))
    speed = _float(last["speed"].removesuffix("x"))
    fps = _float(last["fps"]) or (speed or 0.0) * rate
    return Progress(int(_float(last["frame"]) or 0), round(fps, 1), speed, last["progress"] == "end")


def _float(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
