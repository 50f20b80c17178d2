from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.installer.host import Host


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    if os.geteuid() != 0:
        pytest.skip("device nodes of the pretended host need root (mknod)")
    if shutil.which("dash") is None:
        pytest.skip("needs dash, the shell of the installer's image")
    made = Host(tmp_path / "host")
    yield made
    made.stop()
