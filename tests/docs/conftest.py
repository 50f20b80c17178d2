"""The documentation, built once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.blocks import ROOT

STRICT = ("--quiet", "--fail-on-warning", "--keep-going", "--nitpicky")
"""As `make docs` has it; a test compares them."""


def build(source: Path, target: Path) -> subprocess.CompletedProcess[str]:
    """Build the documentation in `source`, strictly."""
    words = [sys.executable, "-m", "sphinx", *STRICT, "-d", str(target / ".doctrees"), str(source), str(target)]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built documentation; fails with what the generator said."""
    target = tmp_path_factory.mktemp("site")
    done = build(ROOT / "docs", target)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    return target
