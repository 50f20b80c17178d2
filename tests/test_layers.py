"""Arrows point one way, and what is installed as `talos-gpu` is the plain package alone."""

from __future__ import annotations

import ast
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PULUMI = {"pulumi", "pulumi_kubernetes", "pulumiverse_talos"}
OURS = {"components", "talos_gpu", "lab", "bench", "gpu_proof", "tests"}
MAY_IMPORT = {"components": {"components", "talos_gpu"}, "talos_gpu": {"talos_gpu"}, "lab": {"lab", "talos_gpu"}}
SDK_OUTSIDE = {"lab/engine/kubernetes", "lab/engine/run_program.py", "lab/engine/dynamic_host.py"}
"""The engine's stand-ins speak Pulumi's protocol with the SDK's own messages."""


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name.split(".")[0] for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.split(".")[0]


@pytest.mark.parametrize("folder", sorted(MAY_IMPORT))
def test_arrows_point_one_way(folder: str) -> None:
    files = sorted((ROOT / folder).rglob("*.py"))
    assert files
    for path in files:
        where, found = path.relative_to(ROOT).as_posix(), set(imported(path))
        assert found & OURS <= MAY_IMPORT[folder], f"{where} imports {found & OURS - MAY_IMPORT[folder]}"
        if folder != "components" and not where.startswith(tuple(SDK_OUTSIDE)):
            assert not found & PULUMI, f"{where} imports {found & PULUMI}"


def test_the_program_itself_is_a_few_lines_over_components() -> None:
    main = ROOT / "__main__.py"
    assert len(main.read_text().splitlines()) < 40
    assert set(imported(main)) & OURS == {"components", "talos_gpu"}


def test_the_wheel_holds_the_command_line_and_nothing_else(tmp_path: Path) -> None:
    uv = ROOT / ".tools/bin/uv"
    build = [str(uv), "build", "--quiet", "--wheel", "--out-dir", str(tmp_path), "--python", sys.executable, str(ROOT)]
    subprocess.run(build, check=True, cwd=tmp_path)
    [wheel] = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        entry = next(name for name in names if name.endswith("entry_points.txt"))
        assert archive.read(entry).decode().split() == ["[console_scripts]", "talos-gpu", "=", "talos_gpu.cli:main"]
    assert {name.split("/")[0] for name in names} == {"talos_gpu", wheel.name.split("-py3")[0] + ".dist-info"}
    assert "talos_gpu/talos/proto/machine_pb2.py" in names
