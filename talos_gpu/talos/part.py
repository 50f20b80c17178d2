"""The containerd part /etc/cri/conf.d/20-customization.part: render ours, compare with another.

Talos merges all *.part files into containerd's config, tables key by key and arrays concatenated (v1.11.1,
internal/pkg/toml), so a part holds no more than what it changes.
"""

from __future__ import annotations

import json
import posixpath
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from talos_gpu.talos.releases import CRI_SECTION_1, ReleaseFacts

PART_PATH = "/etc/cri/conf.d/20-customization.part"
RUNTIME = "nvidia-cdi"
"""The containerd runtime's name, which a RuntimeClass names as its handler."""
RUNTIME_BINARY = "/usr/local/bin/nvidia-container-runtime.cdi"
CDI_SPEC_DIRS = ("/etc/cdi", "/var/run/cdi")
"""containerd lets the last folder win, so /var/cdi, where the unpatched source lies, must not be the last."""

_LAST_WINS = "cdi_spec_dirs"
_CDI_SWITCH = "enable_cdi"
_CONFIG_VERSION = {CRI_SECTION_1: 2}
"""`version` of containerd's config by section; 3 for all others."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One key that a part has not as wanted."""

    path: tuple[str, ...]
    found: object
    """None where the key is not set."""
    wanted: object
    merged: object
    """What the key becomes when both are merged; None where they exclude each other."""

    @property
    def key(self) -> str:
        """The key as TOML writes it."""
        return dotted(self.path)

    @property
    def clashes(self) -> bool:
        """Whether no value serves both sides."""
        return self.merged is None

    @property
    def sentence(self) -> str:
        """`KEY is X, wanted Y`."""
        is_now = "not set" if self.found is None else json.dumps(self.found, default=str)
        return f"{self.key} is {is_now}, wanted {json.dumps(self.wanted)}"


def part_toml(release: ReleaseFacts, *, default_runtime: bool) -> str:
    """Return the part's text: the CDI folders, the runtime, and with `default_runtime` that every pod uses it."""
    section = f'plugins."{release.cri_section}"'
    dirs = ", ".join(json.dumps(folder) for folder in CDI_SPEC_DIRS)
    lines = [f"[{section}]"]
    if release.cri_section == CRI_SECTION_1:
        lines.append(f"  {_CDI_SWITCH} = true")
    lines.append(f"  {_LAST_WINS} = [{dirs}]")
    if default_runtime:
        lines += [f"  [{section}.containerd]", f'    default_runtime_name = "{RUNTIME}"']
    lines += [
        f"  [{section}.containerd.runtimes.{RUNTIME}]",
        '    runtime_type = "io.containerd.runc.v2"',
        f"    [{section}.containerd.runtimes.{RUNTIME}.options]",
        f'      BinaryName = "{RUNTIME_BINARY}"',
    ]
    return "\n".join(lines) + "\n"


def part_differences(want: str, have: str) -> list[str]:
    """Return what `have` lacks of `want`, a clause per key ("KEY is X, wanted Y"); both are TOML text.

    More keys in `have` are no difference; an array must hold ours, in `cdi_spec_dirs` in our order and with our last
    folder as the last. Text that is no TOML is one difference.
    """
    try:
        found = tomllib.loads(have)
    except tomllib.TOMLDecodeError as error:
        return [f"it is no TOML: {error}"]
    return [difference.sentence for difference in compare(tomllib.loads(want), found)]


def compare(want: Mapping[str, Any], have: Mapping[str, Any]) -> list[Difference]:
    """Return the keys that `have` has not as `want`, in the order of `want`; both are parts as tomllib reads them.

    Beside the wanted keys two that would undo them count: CDI switched off, and a `version` of another containerd.
    """
    return [*_undoing(want, have), *_differences(want, have, ())]


def dotted(path: Sequence[str]) -> str:
    """Write a key's path as TOML does."""
    return ".".join(f'"{key}"' if "." in key else key for key in path)


def _undoing(want: Mapping[str, Any], have: Mapping[str, Any]) -> Iterator[Difference]:
    for section, wanted in want["plugins"].items():
        version = _CONFIG_VERSION.get(section, 3)
        if have.get("version", version) != version:
            yield Difference(("version",), have["version"], version, None)
        plugins = have.get("plugins")
        found = plugins.get(section) if isinstance(plugins, dict) else None
        if isinstance(found, dict) and _CDI_SWITCH not in wanted and found.get(_CDI_SWITCH, True) is not True:
            yield Difference(("plugins", section, _CDI_SWITCH), found[_CDI_SWITCH], True, None)


def _differences(want: Mapping[str, Any], have: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[Difference]:
    for key, wanted in want.items():
        here = (*path, key)
        if key not in have:
            for leaf, value in _leaves(wanted, here):
                yield Difference(leaf, None, value, value)
        elif isinstance(wanted, dict) and isinstance(have[key], dict):
            yield from _differences(wanted, have[key], here)
        elif isinstance(wanted, list) and isinstance(have[key], list):
            merged = _union(key, wanted, have[key])
            if merged != have[key]:
                yield Difference(here, have[key], wanted, merged)
        elif type(wanted) is not type(have[key]) or wanted != have[key]:
            yield Difference(here, have[key], wanted, None)


def _union(key: str, wanted: Sequence[Any], found: Sequence[Any]) -> list[Any]:
    """Theirs as they are, ours after them; where the last one wins, ours are moved there unless they win already."""
    if key != _LAST_WINS:
        return [*found, *(item for item in wanted if item not in found)]
    ours = [_identity(item) for item in wanted]
    theirs = [_identity(item) for item in found]
    rest = iter(theirs)
    if all(folder in rest for folder in ours) and theirs[-1] == ours[-1]:
        return list(found)
    spelled = dict(zip(theirs, found, strict=True))
    others = dict.fromkeys(folder for folder in theirs if folder not in ours)
    return [
        *(spelled[folder] for folder in others),
        *(spelled.get(folder, item) for folder, item in zip(ours, wanted, strict=True)),
    ]


def _identity(folder: object) -> object:
    """Of two spellings of one folder the same; on Talos /var/run is a link to /run."""
    if not isinstance(folder, str):
        return repr(folder)
    path = posixpath.normpath(folder)
    return f"/var{path}" if path == "/run" or path.startswith("/run/") else path


def _leaves(value: object, path: tuple[str, ...]) -> list[tuple[tuple[str, ...], object]]:
    if not isinstance(value, dict):
        return [(path, value)]
    return [leaf for key, inner in value.items() for leaf in _leaves(inner, (*path, key))]
