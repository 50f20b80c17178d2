"""Reading CDI folders of this host as Go's filepath.Walk walks them: the one part of the package that touches files."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path

from talos_gpu.cdi.registry import File, Folder, Resolution, ignored_because, resolution
from talos_gpu.cdi.schema import Library


def resolve(folders: Sequence[str | Path], *, library: Library = Library.V1_0_1) -> Resolution:
    """Which file of these folders gives which device to containerd; the last folder has the highest priority."""
    return resolution([read_folder(folder) for folder in folders], library=library)


def read_folder(folder: str | Path) -> Folder:
    """A folder with the content of every file that the CDI library would read.

    Never raises for what lies there: what cannot be read is said in `error`. A folder that is not there is empty.
    """
    path = os.path.normpath(folder)
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return Folder(path)
    except OSError as error:
        # Walk hands the library no file info, and that ends its scan of every later folder
        return Folder(path, error=f"cannot be looked at: {_reason(error)}", stops=True)
    if not stat.S_ISDIR(mode):
        return _no_folder(path, mode)
    try:
        names = sorted((entry.name for entry in Path(path).iterdir()), key=os.fsencode)
    except OSError as error:
        return Folder(path, error=f"cannot be listed: {_reason(error)}")
    try:
        kinds = {name: os.lstat(Path(path, name)).st_mode for name in names}
    except OSError as error:
        return Folder(path, error=f"its entries cannot be looked at: {_reason(error)}", stops=True)
    return Folder(path, files=tuple(_file(Path(path, name)) for name in names if not stat.S_ISDIR(kinds[name])))


def _no_folder(path: str, mode: int) -> Folder:
    """Walk calls the library for what is no folder too: by its name it may be a spec."""
    if not ignored_because(Path(path).name):
        file = _file(Path(path))
        return Folder(path, files=(File("", file.data, file.error),))
    if stat.S_ISLNK(mode):
        target = Path(path).readlink()
        return Folder(path, error=f"is a symbolic link to {target}, which CDI does not follow: name {target} instead")
    return Folder(path, error="is no folder")


def _file(path: Path) -> File:
    if ignored_because(path.name):
        return File(path.name)
    try:
        if path.exists() and not path.is_file() and not path.is_dir():
            return File(path.name, error="is no regular file; reading a pipe would hold the runtime up")
        return File(path.name, data=path.read_bytes())
    except OSError as error:
        return File(path.name, error=f"cannot be read: {_reason(error)}")


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
