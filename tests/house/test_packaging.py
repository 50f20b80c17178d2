"""`uv tool install .` gives `talos-gpu`, on every Python that this machine has and the project supports."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
UV = ROOT / ".tools/bin/uv"
SPEC = ROOT / "tests/fixtures/cdi/h100-580/toolkit-1.17.8.yaml"
MINORS = range(11, 15)
WORDS = "nvidia-container-runtime-wrapper: unknown command nvidia-cdi-hook"
HEAVY = "asyncio cryptography grpclib httpx kr8s pydantic rich tomlkit yaml"


@cache
def pythons() -> dict[str, Path]:
    """Version -> interpreter, of those that are to be had here: on PATH, or pyenv's."""
    found = {f"3.{sys.version_info.minor}": Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info.minor}"}
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for minor in MINORS:
        name = f"python3.{minor}"
        for candidate in (*sorted(pyenv.glob(f"3.{minor}.*/bin/{name}")), shutil.which(name)):
            if candidate and subprocess.run([candidate, "--version"], capture_output=True, check=False).returncode == 0:
                found.setdefault(f"3.{minor}", Path(candidate))
    return found


@pytest.fixture(scope="module", params=sorted(pythons()))
def installed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of what `uv tool install .` installs with one of the Pythons; its dependencies are the locked ones."""
    home = tmp_path_factory.mktemp("tool")
    locked = ("export", "--quiet", "--locked", "--no-default-groups", "--no-emit-project", "--no-hashes")
    (home / "locked.txt").write_text(_run(UV, *locked, cwd=ROOT))
    environment = {
        **os.environ,
        "UV_TOOL_DIR": str(home / "tools"),
        "UV_TOOL_BIN_DIR": str(home / "bin"),
        "UV_HTTP_TIMEOUT": "180",
        "UV_HTTP_RETRIES": "6",
    }
    words: list[str | Path] = [
        UV,
        "tool",
        "install",
        "--quiet",
        "--no-python-downloads",
        "--constraints",
        home / "locked.txt",
    ]
    subprocess.run([*words, "--python", pythons()[request.param], "."], cwd=ROOT, env=environment, check=True)
    inside = home / "tools/talos-nvidia-cdi/bin/python"
    said = _run(inside, "-c", "import sys; print('%d.%d' % sys.version_info[:2])")
    assert said.strip() == request.param
    return home


def test_the_command_works_and_needs_nothing_of_the_checkout(installed: Path, tmp_path: Path) -> None:
    talos_gpu = installed / "bin/talos-gpu"
    shutil.copy(SPEC, tmp_path / "nvidia.yaml")
    assert re.fullmatch(r"\d+\.\d+\.\d+\n", _run(talos_gpu, "--version"))
    assert _run(talos_gpu, "schema") == (ROOT / "schemas/stack.json").read_text()
    assert _run(talos_gpu, "cdi", "validate", "nvidia.yaml", cwd=tmp_path) == "nvidia.yaml: ok\n"
    assert "wrapper-unknown-command" in _run(talos_gpu, "explain", WORDS)
    for command in ("doctor", "verify", "rollout", "preview", "machine", "images", "stack"):
        assert f"usage: talos-gpu {command}" in _run(talos_gpu, command, "--help").lower()


def test_what_is_installed_is_the_command_line_alone(installed: Path) -> None:
    python = installed / "tools/talos-nvidia-cdi/bin/python"
    code = (
        "import importlib.util as u; print([n for n in ('lab', 'components', 'pulumi', 'gpu_proof') if u.find_spec(n)])"
    )
    assert _run(python, "-c", code, cwd=installed) == "[]\n"


def test_the_start_is_lazy(installed: Path) -> None:
    """The list of commands and a CDI command import nothing that they do not use."""
    python = installed / "tools/talos-nvidia-cdi/bin/python"
    code = (
        "import sys; import talos_gpu.cli as c; sys.argv[1:] = sys.argv[2:]\n"
        "try: c.main()\n"
        "except SystemExit: pass\n"
        f"print(sorted(set(sys.modules) & set({HEAVY.split()!r})), file=sys.stderr)"
    )

    def imported(*words: str) -> str:
        done = subprocess.run([python, "-c", code, "-", *words], capture_output=True, text=True, check=False)
        return done.stderr.splitlines()[-1]

    assert imported("--version") == "[]"
    assert set(imported("--help")) <= set("['rich']")
    assert imported("cdi", "validate", str(SPEC)) == "['yaml']"


def test_the_pythons_of_the_workflow_are_the_supported_ones() -> None:
    text = (ROOT / ".github/workflows/test.yml").read_text()
    [line] = re.findall(r"python: \[(.*)\]", text)
    assert re.findall(r'"(3\.\d+)"', line) == [f"3.{minor}" for minor in MINORS]
    assert "3.11" in pythons()


def _run(*words: Path | str, cwd: Path | None = None) -> str:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    done = subprocess.run(words, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
