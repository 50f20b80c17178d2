from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.components.engine import Run, run_program, stack_config
from tests.talos.pki import Authority, Pair, talosconfig

BASE = """\
version: v1alpha1
machine:
  type: worker
  token: canary-machine-token
cluster:
  id: canary-cluster-id
"""


class Stack:
    """A stack with files of its own; `run` runs the whole program."""

    def __init__(self, folder: Path) -> None:
        authority = Authority()
        self.client: Pair = authority.client("os:admin", end=timedelta(days=60))
        self.base, self.talosconfig = folder / "base.yaml", folder / "talosconfig"
        self.base.write_text(BASE)
        self.talosconfig.write_text(talosconfig(authority, self.client))

    def run(self, stack: str = "talos05", *, preview: bool = False, **changes: Any) -> Run:
        machine = {"base": str(self.base), **changes.pop("machine", {})}
        given = {"machine": machine, "talosconfig": str(self.talosconfig), **changes}
        return run_program(stack_config(stack, given), preview=preview)


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    return Stack(tmp_path)


@pytest.fixture
def run(stack: Stack) -> Callable[..., Run]:
    return stack.run
