"""What the bundle packs is enough: its modules import from its own files alone."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gpu_proof.__main__ import hides
from gpu_proof.bundle import lay_code
from gpu_proof.sandbox import FOLDERS
from lab.paths import PROJECT

MODULES = ("gpu_proof.__main__", "gpu_proof.inside", "gpu_proof.kernel", "gpu_proof.lab_tier")


def test_every_module_of_it_imports_without_the_checkout(tmp_path: Path) -> None:
    lay_code(tmp_path / "code")
    shutil.copytree(PROJECT / "talos_gpu", tmp_path / "site" / "talos_gpu")
    look = "import sys\n" + "".join(f"import {name}\n" for name in MODULES)
    look += "print(*(m.__file__ for m in sys.modules.values() if getattr(m, '__file__', None)), sep='\\n')"
    done = subprocess.run(
        [sys.executable, "-P", "-c", look],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{tmp_path / 'code'}{os.pathsep}{tmp_path / 'site'}", "PYTHONSAFEPATH": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    ours = [path for path in done.stdout.split() if Path(path).is_relative_to(PROJECT)]
    assert [path for path in ours if ".venv" not in path] == []
    assert str(tmp_path / "code/gpu_proof/inside.py") in done.stdout.split()


@pytest.mark.parametrize("folder", FOLDERS)
def test_evidence_is_not_kept_where_it_would_be_lost(folder: str) -> None:
    [reason] = hides(Path(folder, "evidence"))
    assert f"lies below {folder}" in reason


def test_evidence_elsewhere_is_kept(tmp_path: Path) -> None:
    assert hides(tmp_path / "evidence") == []
