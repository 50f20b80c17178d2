"""Laying out PULUMI_HOME."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lab.engine import install
from lab.errors import LabRefused


def test_official_plugins_are_refused_until_they_are_installed(
    binaries: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    with pytest.raises(LabRefused, match=r"kubernetes v4\.34\.2, talos v0\.8\.1") as refused:
        install.install(tmp_path / "home", binaries, Path(sys.executable), "official")
    assert "pulumi plugin install resource talos v0.8.1 --server github://api.github.com/pulumiverse" in str(
        refused.value
    )
    assert set(install.which(tmp_path / "home").values()) == {"missing"}


def test_official_plugins_of_the_user_are_linked_in_the_place_of_stand_ins(
    binaries: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    home = tmp_path / "home"
    install.install(home, binaries, Path(sys.executable), "standin")
    for plugin in install.PLUGINS:
        folder = install.folder_of(tmp_path / "user" / ".pulumi" / "plugins", plugin)
        folder.mkdir(parents=True)
        (folder / f"pulumi-resource-{plugin}").touch()
    install.install(home, binaries, Path(sys.executable), "official")
    assert install.which(home) == {"kubernetes": "official", "talos": "official"}
    install.install(home, binaries, Path(sys.executable), "standin")
    assert install.which(home) == {"kubernetes": "stand-in", "talos": "stand-in"}
    kept = install.folder_of(tmp_path / "user" / ".pulumi" / "plugins", "talos") / "pulumi-resource-talos"
    assert kept.read_bytes() == b""


def test_a_second_install_changes_no_file(binaries: Path, tmp_path: Path) -> None:
    def files() -> dict[str, tuple[int, int]]:
        return {str(p): (p.stat().st_ino, p.stat().st_mtime_ns) for p in tmp_path.rglob("*") if p.is_file()}

    install.install(tmp_path, binaries, Path(sys.executable), "standin")
    before = files()
    install.install(tmp_path, binaries, Path(sys.executable), "standin")
    assert files() == before


def test_a_missing_program_is_named(tmp_path: Path) -> None:
    with pytest.raises(LabRefused, match="pulumi is missing"):
        install.install(tmp_path / "home", tmp_path, Path(sys.executable), "standin")


def test_the_environment_leads_to_this_home_only(
    binaries: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PULUMI_ACCESS_TOKEN", "of-the-user")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:1")
    engine = install.install(tmp_path / "home", binaries, Path(sys.executable), "standin")
    env = engine.env(tmp_path / "state", tmp_path / "passphrase")
    assert "PULUMI_ACCESS_TOKEN" not in env and "HTTPS_PROXY" not in env
    assert (env["PULUMI_HOME"], env["PULUMI_BACKEND_URL"]) == (str(tmp_path / "home"), f"file://{tmp_path / 'state'}")


@pytest.mark.parametrize("plugin", sorted(install.PLUGINS))
def test_each_stand_in_says_what_it_is(engine: install.Engine, plugin: str) -> None:
    program = install.folder_of(engine.home / "plugins", plugin) / f"pulumi-resource-{plugin}"
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    assert said.startswith(f"stand-in for pulumi-resource-{plugin} {install.PLUGINS[plugin]}")
