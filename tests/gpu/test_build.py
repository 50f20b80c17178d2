"""What `build` lays out: names, sonames, symbol versions, the same bytes each time."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from lab.gpu.build import DUMMIES, build

REAL = ("libnvidia-ml", "libcuda", "libnvidia-encode", "libnvcuvid")


def _versions(path: Path) -> set[tuple[int, ...]]:
    said = subprocess.run(["objdump", "-T", str(path)], capture_output=True, text=True, check=True).stdout
    return {tuple(map(int, found.split("."))) for found in re.findall(r"GLIBC_([\d.]+)", said)}


def _soname(path: Path) -> str:
    said = subprocess.run(["readelf", "-d", str(path)], capture_output=True, text=True, check=True).stdout
    found = re.search(r"SONAME.*\[(.*)\]", said)
    return found.group(1) if found else ""


def test_every_library_of_the_driver_carries_its_version(built_gpu: Path) -> None:
    made = {path.name for path in built_gpu.iterdir() if not path.is_symlink()}
    wanted = {f"{name}.so.535.247.01" for name in (*REAL, *DUMMIES)}
    assert made == wanted | {"nvidia-smi", ".stamp"}


def test_links_are_the_sonames_that_ldconfig_would_make(built_gpu: Path) -> None:
    for path in built_gpu.glob("lib*.so.535.247.01"):
        soname = _soname(path)
        assert soname
        if soname != path.name:
            assert (built_gpu / soname).resolve() == path


@pytest.mark.parametrize("name", REAL)
def test_libraries_load_on_old_c_libraries(built_gpu: Path, name: str) -> None:
    versions = _versions(built_gpu / f"{name}.so.535.247.01")
    assert versions
    assert max(versions) <= (2, 17)


def test_nvidia_smi_runs_on_debian_12_and_ubuntu_22_04(built_gpu: Path) -> None:
    assert max(_versions(built_gpu / "nvidia-smi")) <= (2, 35)


def test_the_sources_compile_without_a_warning() -> None:
    sources = sorted((Path(__file__).parents[2] / "lab" / "gpu").glob("*.c"))
    assert sources
    command = ["gcc", "-std=gnu11", "-Wall", "-Wextra", "-Werror", '-DDRIVER="1.2.3"', "-fsyntax-only"]
    done = subprocess.run([*command, *map(str, sources)], capture_output=True, text=True, check=False)
    assert done.stderr == ""


def test_another_build_has_the_same_bytes(built_gpu: Path, tmp_path: Path) -> None:
    build(tmp_path / "again")
    for path in built_gpu.iterdir():
        assert (tmp_path / "again" / path.name).read_bytes() == path.read_bytes(), path.name


def test_what_is_up_to_date_is_left_alone(libraries: Path) -> None:
    before = {path.name: path.lstat().st_mtime_ns for path in libraries.iterdir()}
    build(libraries)
    assert {path.name: path.lstat().st_mtime_ns for path in libraries.iterdir()} == before


def test_another_driver_version_replaces_the_folder(libraries: Path) -> None:
    build(libraries, "550.90.07")
    assert (libraries / "libcuda.so.550.90.07").is_file()
    assert not list(libraries.glob("*535*"))
