"""Which file gives which device, as containerd's CDI library finds it (pkg/cdi/cache.go refresh, spec-dirs.go).

The last folder wins. Within one folder a device in two files is a conflict, which removes the device even where a later
folder gives it as well. A file that does not load hides all that is in it, its shadow on earlier folders too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from talos_gpu.cdi.errors import SpecFault, SpecInvalid
from talos_gpu.cdi.schema import Library
from talos_gpu.cdi.spec import parse
from talos_gpu.cdi.text import decode

FOLDERS = ("/etc/cdi", "/var/run/cdi")
"""containerd's default `cdi_spec_dirs`, and the folders of nvidia-container-runtime.cdi, which never reads that key
(nvidia-container-toolkit v1.17.8 internal/config/config.go: nvidia-container-runtime.modes.cdi.spec-dirs)."""
EXTENSIONS = (".yaml", ".json")


@dataclass(frozen=True, slots=True)
class File:
    """An entry of a folder: its bytes, or why it cannot be read (`error`, "" if it can)."""

    name: str
    data: bytes = b""
    error: str = ""


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder as it was found, subfolders left out; `error` says why it cannot be used.

    `stops` is for what ends the library's whole scan, so that it does not look at later folders either.
    """

    path: str
    files: tuple[File, ...] = ()
    error: str = ""
    stops: bool = False


class State(StrEnum):
    """What became of a file."""

    LOADED = "loaded"
    FAILED = "failed"
    IGNORED = "ignored"


@dataclass(frozen=True, slots=True)
class Loaded:
    """A file in the order of the scan. `devices` are qualified; `problem` is "" for a file that was loaded."""

    path: str
    state: State
    devices: tuple[str, ...] = ()
    problem: str = ""
    faults: tuple[SpecFault, ...] = ()


@dataclass(frozen=True, slots=True)
class Given:
    """A device that resolves: `nvidia.com/gpu=all` from `path`; `shadowed` files of earlier folders give it too."""

    device: str
    path: str
    shadowed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Conflict:
    """A device that does not resolve, because several files of one folder give it; `hidden` would give it else."""

    device: str
    paths: tuple[str, ...]
    hidden: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Resolution:
    """What a container runtime finds in folders."""

    folders: tuple[str, ...]
    files: tuple[Loaded, ...]
    devices: tuple[Given, ...]
    """By name."""
    conflicts: tuple[Conflict, ...]
    """By name."""
    folder_errors: tuple[tuple[str, str], ...] = ()
    """(folder, why it gives nothing)."""

    def find(self, device: str) -> Given | None:
        """The device of that qualified name, None where the runtime would call it unresolvable."""
        return next((given for given in self.devices if given.device == device), None)

    @property
    def failed(self) -> tuple[Loaded, ...]:
        """Files that do not load."""
        return tuple(file for file in self.files if file.state is State.FAILED)


@dataclass(slots=True)
class _Scan:
    """Devices as the library's refresh meets them, file by file."""

    holder: dict[str, tuple[int, str]] = field(default_factory=dict)
    givers: dict[str, list[tuple[int, str]]] = field(default_factory=dict)
    conflicts: set[str] = field(default_factory=set)

    def add(self, device: str, priority: int, path: str) -> None:
        self.givers.setdefault(device, []).append((priority, path))
        held = self.holder.get(device)
        if held is not None and held[0] == priority:
            self.conflicts.add(device)
        else:
            self.holder[device] = (priority, path)

    def given(self) -> Iterator[Given]:
        for device, (_, path) in sorted(self.holder.items()):
            if device not in self.conflicts:
                others = (other for _, other in self.givers[device] if other != path)
                yield Given(device, path, tuple(dict.fromkeys(others)))

    def conflicting(self) -> Iterator[Conflict]:
        for device in sorted(self.conflicts):
            count: dict[int, int] = {}
            for priority, _ in self.givers[device]:
                count[priority] = count.get(priority, 0) + 1
            paths = tuple(path for priority, path in self.givers[device] if count[priority] > 1)
            hidden = tuple(path for priority, path in self.givers[device] if count[priority] == 1)
            yield Conflict(device, paths, hidden)


def resolution(folders: Sequence[Folder], *, library: Library = Library.V1_0_1) -> Resolution:
    """What that release of the CDI library makes of folders, given in the order of `cdi_spec_dirs`."""
    scan, files = _Scan(), list[Loaded]()
    errors: list[tuple[str, str]] = []
    stopped = ""
    for priority, folder in enumerate(folders):
        error = f"not looked at, because of {stopped}" if stopped else folder.error
        if error:
            errors.append((folder.path, error))
        if folder.stops and not stopped:
            stopped = folder.path
        if error:
            continue
        for file in sorted(folder.files, key=lambda file: file.name.encode(errors="surrogateescape")):
            loaded = _load(folder.path, file, library)
            files.append(loaded)
            for device in loaded.devices:
                scan.add(device, priority, loaded.path)
    return Resolution(
        folders=tuple(folder.path for folder in folders),
        files=tuple(files),
        devices=tuple(scan.given()),
        conflicts=tuple(scan.conflicting()),
        folder_errors=tuple(errors),
    )


def extension(name: str) -> str:
    """From the last dot of a file name on, as Go's filepath.Ext: `.yaml` of a file called `.yaml`; "" without a dot."""
    _, dot, last = name.rpartition(".")
    return dot + last if dot else ""


def ignored_because(name: str) -> str:
    """Why a CDI runtime does not look at a file of that name; "" if it does."""
    found = extension(name)
    if found in EXTENSIONS:
        return ""
    near = next((wanted for wanted in EXTENSIONS if found.lower() in (wanted, wanted.replace("a", ""))), "")
    hint = f"; rename it to end in {near}" if near else ""
    return f"CDI reads only names that end in {' or '.join(EXTENSIONS)}, this one ends in {found or 'neither'}{hint}"


def _load(folder: str, file: File, library: Library) -> Loaded:
    path = f"{folder.rstrip('/')}/{file.name}" if file.name else folder
    reason = ignored_because(file.name or path.rpartition("/")[2])
    if reason:
        return Loaded(path, State.IGNORED, problem=reason)
    if file.error:
        return Loaded(path, State.FAILED, problem=file.error)
    try:
        spec = parse(decode(file.data).text, library=library)
    except SpecInvalid as error:
        more = f" (and {len(error.faults) - 1} more)" if len(error.faults) > 1 else ""
        return Loaded(path, State.FAILED, problem=f"{error.faults[0]}{more}", faults=error.faults)
    return Loaded(path, State.LOADED, tuple(f"{spec.kind}={device.name}" for device in spec.devices))
