"""When a restart can wait until the new worker is up; pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from talos_gpu.talos.footprint import reasons_between
from talos_gpu.talos.part import PART_PATH
from talos_gpu.talos.releases import Method, strategy_for

_PART = f"machine.files: {PART_PATH}"


def only_retires(olds: Mapping[str, Any], news: Mapping[str, Any]) -> bool:
    """Whether all that the node restarts for is that the part of method `spec` goes; inputs of MachineState.

    The part is in nobody's way then: the new method's runtime is the extension's own. So the new worker comes first.
    """
    if olds.get("method") != Method.SPEC or news["method"] == Method.SPEC:
        return False
    release = strategy_for(news["release"])
    reasons = reasons_between(olds.get("footprint") or {}, news.get("footprint") or {}, release)
    return reasons is not None and [reason.key for reason in reasons] == [_PART]
