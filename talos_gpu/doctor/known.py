"""Error texts of this corner of the field, with what they mean.

ffmpeg's and nvidia-smi's own words are in talos_gpu.verify.words.
"""

from __future__ import annotations

from collections.abc import Sequence

from talos_gpu.doctor import known_around, known_injection
from talos_gpu.doctor.known_text import Known

ALL: Sequence[Known] = (*known_injection.TEXTS, *known_around.TEXTS)
"""Every known text, the more exact before the more general."""
