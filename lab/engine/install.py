"""Lay out a PULUMI_HOME that works offline: engine, language host, launcher and plugins.

Plugins are the stand-ins of this folder, or the official ones when LAB_PLUGINS=official asks for them. The second
branch is not proven here: the official plugins can't be had where this was made. It links what `pulumi plugin install`
put into the user's own Pulumi home (`~/.pulumi/plugins`, or this home's) and refuses when that is not there.
"""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lab.errors import LabRefused
from lab.paths import compiling_once

HERE = Path(__file__).resolve().parent
PLUGINS: Mapping[str, str] = {"kubernetes": "4.34.2", "talos": "0.8.1"}
"""Resource plugins and the versions that the locked SDKs ask for."""

MARK = "STAND-IN"
"""A file in a plugin's folder: what lies here is a stand-in, and what it leaves out."""

Choice = Literal["standin", "official"]
Found = Literal["stand-in", "official", "missing"]

_MARK_TEXT = """\
This is a stand-in for the official Pulumi plugin {plugin} {version}, from the lab of talos-nvidia-cdi.
It follows the official plugin's rules for what the lab uses and refuses the rest by name.
"""


@dataclass(frozen=True, slots=True)
class Engine:
    """An installed engine."""

    home: Path
    """PULUMI_HOME."""

    plugins: Choice

    @property
    def pulumi(self) -> Path:
        """The command line."""
        return self.home / "bin" / "pulumi"

    def env(self, state: Path, passphrase_file: Path) -> dict[str, str]:
        """The environment for running `pulumi` with its state in `state` (a folder, made when missing).

        Everything of the caller's environment that would lead `pulumi` elsewhere is overridden or dropped: another
        home or backend, an access token, proxies. KUBECONFIG and TALOSCONFIG are left as they are.
        """
        state.mkdir(parents=True, exist_ok=True)
        return {
            **{key: value for key, value in compiling_once(os.environ).items() if not _leads_elsewhere(key)},
            "PATH": f"{self.home / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
            "PULUMI_HOME": str(self.home),
            "PULUMI_BACKEND_URL": f"file://{state}",
            "PULUMI_CONFIG_PASSPHRASE_FILE": str(passphrase_file),
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
            "PULUMI_DEBUG_COMMANDS": "true",  # --event-log asks for it
            "PULUMI_DIY_BACKEND_DISABLE_CHECKPOINT_BACKUPS": "true",
        }


def _leads_elsewhere(key: str) -> bool:
    return key.startswith("PULUMI_") or key.lower() in ("http_proxy", "https_proxy", "all_proxy")


def install(home: Path, binaries: Path, python: Path, plugins: Choice) -> Engine:
    """Lay out `home` as PULUMI_HOME; what is there already and right is left as it is.

    Args:
        home: the folder, made when missing.
        binaries: holds `pulumi`, `pulumi-language-python` and `pulumi-resource-talos`.
        python: the interpreter that runs the kubernetes stand-in (needs grpcio, pulumi, httpx, pyyaml).
        plugins: which plugins `home` shall have.

    Raises:
        LabRefused: a program is missing, or official plugins are wanted and not installed.
    """
    bin_folder = home / "bin"
    bin_folder.mkdir(parents=True, exist_ok=True)
    # engine and host must share a folder and not be symbolic links: else every command warns about its PATH
    for program in ("pulumi", "pulumi-language-python"):
        _place(_needed(binaries, program), bin_folder / program)
    for file in ("run_program.py", "dynamic_host.py", "pulumi-resource-pulumi-python"):
        _copy(HERE / file, bin_folder / file)
    if plugins == "official":
        _link_official(home)
    else:
        _install_stand_ins(home, binaries, python)
    return Engine(home, plugins)


def which(home: Path) -> dict[str, Found]:
    """What `home` has for each plugin that the program needs."""
    return {plugin: _found(home / "plugins", plugin) for plugin in PLUGINS}


def folder_of(plugins: Path, plugin: str) -> Path:
    """Where `pulumi plugin install` puts a resource plugin below a home's `plugins` folder."""
    return plugins / f"resource-{plugin}-v{PLUGINS[plugin]}"


def _found(plugins: Path, plugin: str) -> Found:
    folder = folder_of(plugins, plugin)
    if not (folder / f"pulumi-resource-{plugin}").exists():
        return "missing"
    return "stand-in" if (folder / MARK).exists() else "official"


def _install_stand_ins(home: Path, binaries: Path, python: Path) -> None:
    for plugin, version in PLUGINS.items():
        folder = folder_of(home / "plugins", plugin)
        if folder.is_symlink():
            folder.unlink()  # linked there by an earlier LAB_PLUGINS=official
        if _found(home / "plugins", plugin) == "official":
            raise LabRefused(
                f"{folder} holds the official {plugin} plugin, and stand-ins were asked for",
                remedy=f"say LAB_PLUGINS=official, or remove {folder}",
            )
        folder.mkdir(parents=True, exist_ok=True)
        _write(folder / MARK, _MARK_TEXT.format(plugin=plugin, version=version), 0o644)
    _place(_needed(binaries, "pulumi-resource-talos"), folder_of(home / "plugins", "talos") / "pulumi-resource-talos")
    source, interpreter = shlex.quote(str(HERE.parent.parent)), shlex.quote(str(python))
    launcher = f'#!/bin/sh\nPYTHONPATH={source} exec {interpreter} -u -P -m lab.engine.kubernetes "$@"\n'
    _write(folder_of(home / "plugins", "kubernetes") / "pulumi-resource-kubernetes", launcher, 0o755)


def _link_official(home: Path) -> None:
    users = Path.home() / ".pulumi" / "plugins"
    missing = []
    for plugin, version in PLUGINS.items():
        if _found(home / "plugins", plugin) == "official":
            continue
        if _found(users, plugin) != "official":
            missing.append(f"{plugin} v{version}")
            continue
        folder = folder_of(home / "plugins", plugin)
        if folder.exists():
            shutil.rmtree(folder)  # the stand-in; the mark told
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.symlink_to(folder_of(users, plugin), target_is_directory=True)
    if missing:
        server = " --server github://api.github.com/pulumiverse"
        commands = [
            f"pulumi plugin install resource {p.replace(' ', ' ')}{server if p.startswith('talos') else ''}"
            for p in missing
        ]
        raise LabRefused(
            f"LAB_PLUGINS=official, but these plugins are not installed: {', '.join(missing)}",
            remedy=f"{'; '.join(commands)} (with network access), or leave LAB_PLUGINS unset for the stand-ins",
        )


def _needed(binaries: Path, program: str) -> Path:
    path = binaries / program
    if not path.exists():
        raise LabRefused(f"{path} is missing", remedy="run `make up`, which builds the toolchain")
    return path.resolve()


def _place(source: Path, target: Path) -> None:
    """A hard link, or a copy on another file system; swapped in at once so that a running command is not disturbed."""
    if target.exists() and (target.samefile(source) or _same_build(source, target)):
        return
    fresh = target.with_name(f".{target.name}.{os.getpid()}")
    fresh.unlink(missing_ok=True)
    try:
        os.link(source, fresh)
    except OSError:
        shutil.copy2(source, fresh)
    fresh.replace(target)


def _same_build(source: Path, target: Path) -> bool:
    a, b = source.stat(), target.stat()
    return (a.st_size, a.st_mtime_ns) == (b.st_size, b.st_mtime_ns)


def _copy(source: Path, target: Path) -> None:
    _write(target, source.read_text(), 0o755 if source.suffix == "" else 0o644)


def _write(path: Path, text: str, mode: int) -> None:
    if path.exists() and path.read_text() == text:
        return
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.write_text(text)
    fresh.chmod(mode)
    fresh.replace(path)
