"""Settings in the libraries' trailers."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.errors import LabRefused
from lab.gpu.control import LibrariesMissing, SettingUnknown, configure, settings, trailer
from tests.gpu.mock_gpu import MockGpu

QUERY = ("--query-gpu=name,memory.total", "--format=csv,noheader")


def test_a_fresh_build_has_no_settings(built_gpu: Path) -> None:
    assert settings(built_gpu) == {}


def test_settings_read_back_as_they_were_given(libraries: Path) -> None:
    given = {"name": "NVIDIA H100 80GB HBM3", "codecs": "none", "encode_fail": "30:20"}
    configure(libraries, given)
    assert settings(libraries) == given


def test_settings_replace_the_earlier_ones(libraries: Path) -> None:
    configure(libraries, {"cuinit": "999"})
    configure(libraries, {"fps": "30"})
    assert settings(libraries) == {"fps": "30"}


def test_the_file_stays_the_same_inode_and_size(libraries: Path) -> None:
    library = libraries / "libcuda.so.535.247.01"
    before = library.stat()
    configure(libraries, {"cuinit": "999"})
    after = library.stat()
    assert (after.st_ino, after.st_size) == (before.st_ino, before.st_size)


def test_the_trailer_lies_within_one_page(built_gpu: Path) -> None:
    for name in ("libnvidia-ml", "libcuda", "libnvidia-encode", "libnvcuvid"):
        assert (built_gpu / f"{name}.so.535.247.01").stat().st_size % len(trailer({})) == 0


def test_the_environment_comes_before_the_trailer(gpu: MockGpu) -> None:
    gpu.configure(name="trailer", mem=1)
    said = gpu.run("env", "MOCK_GPU=name=environment", f"{gpu.folder}/nvidia-smi", *QUERY)
    assert said.words == "environment, 1 MiB\n"


def test_the_control_file_comes_before_the_trailer(gpu: MockGpu, tmp_path: Path) -> None:
    gpu.configure(name="trailer", mem=1)
    (tmp_path / "control").write_text("name=file\n")
    said = gpu.run("env", f"MOCK_GPU_CTL={tmp_path}/control", f"{gpu.folder}/nvidia-smi", *QUERY)
    assert said.words == "file, 1 MiB\n"


def test_an_unknown_setting_changes_nothing(libraries: Path) -> None:
    configure(libraries, {"fps": "30"})
    with pytest.raises(SettingUnknown, match="'cuint'"):
        configure(libraries, {"cuint": "999"})
    assert settings(libraries) == {"fps": "30"}


def test_settings_that_do_not_fit_are_refused() -> None:
    with pytest.raises(LabRefused, match="too long"):
        trailer({"name": "x" * 600})


def test_a_folder_without_the_libraries_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LibrariesMissing):
        configure(tmp_path, {})
    (tmp_path / "libcuda.so.535.247.01").write_bytes(b"\x7fELF" + b"\0" * 4096)
    with pytest.raises(LibrariesMissing):
        configure(tmp_path, {})
